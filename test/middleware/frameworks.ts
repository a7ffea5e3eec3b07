import express from 'express'
import express4 from 'express4'
import Koa from 'koa'
import Koa2 from 'koa2'

import { overExpress } from './express-host.js'
import type { Framework } from './framework.js'
import { overKoa } from './koa-host.js'

export const frameworks: readonly Framework[] = [
  overExpress('Express 5', express),
  overExpress('Express 4', express4 as unknown as typeof express),
  overKoa('Koa 3', Koa),
  overKoa('Koa 2', Koa2 as unknown as typeof Koa),
]
