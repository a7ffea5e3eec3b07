// The CommonJS build stands inside an ESM package: a package.json of its own tells Node so.
import { chmodSync, writeFileSync } from 'node:fs'

writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n')
chmodSync('dist/cjs/bin/turnlog.js', 0o755)
