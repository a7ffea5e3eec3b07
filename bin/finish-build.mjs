// The CommonJS build stands inside an ESM package: a package.json of its own tells Node so.
import { chmodSync, existsSync, writeFileSync } from 'node:fs'

writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n')
if (existsSync('dist/cjs/bin/turnlog.js')) chmodSync('dist/cjs/bin/turnlog.js', 0o755)
