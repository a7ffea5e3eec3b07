// CommonJS, which `import` and `require` both take, as one and the same instance; a package.json of its own tells Node so.
import { chmodSync, writeFileSync } from 'node:fs'

writeFileSync('dist/package.json', '{ "type": "commonjs" }\n')
chmodSync('dist/bin/turnlog.js', 0o755)
