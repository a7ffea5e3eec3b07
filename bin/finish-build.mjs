// The sources are ES modules, the build is CommonJS: a package.json of its own tells Node so.
import { chmodSync, writeFileSync } from 'node:fs'

writeFileSync('dist/package.json', '{ "type": "commonjs" }\n')
chmodSync('dist/bin/turnlog.js', 0o755)
