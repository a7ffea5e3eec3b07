/** What a host does with the package, once as text: only the lines that import it and make the application differ. Prints what the model heard; its tokens are counted, in a thread. */
const talk = `
async function talk(database) {
  const turnlog = createTurnlog({ database })
  const server = appOf(turnlog).listen(0)
  await new Promise((resolve) => server.once('listening', resolve))
  const { id } = await turnlog.sessions.create({ userId: 'ann' })
  const ask = async (content) => {
    const answer = await fetch('http://127.0.0.1:' + server.address().port + '/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-user': 'ann' },
      body: JSON.stringify({ model: 'gpt-4o', session_id: id, messages: [{ role: 'user', content }] }),
    })
    return (await answer.json()).choices[0].message.content
  }
  const heard = [await ask('one'), await ask('two')].join(', ')
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await turnlog.close()
  return heard
}
function answerTo({ messages }) {
  const message = { role: 'assistant', content: messages.map(({ role }) => role).join(' ') }
  return { id: 'c', object: 'chat.completion', choices: [{ index: 0, message, finish_reason: 'stop' }] }
}
`

const program = `${talk}
function appOf(turnlog) {
  const app = express()
  app.use(express.json())
  app.post('/v1/chat/completions', remember(turnlog, { userId: (req) => req.headers['x-user'] }), (req, res) => {
    res.json(answerTo(req.body))
  })
  return app
}
`

const koaProgram = `${talk}
function appOf(turnlog) {
  const app = new Koa()
  app.use(bodyParser())
  app.use(chatHistory(turnlog, { userId: (ctx) => ctx.get('x-user') }))
  app.use((ctx) => {
    ctx.body = answerTo(ctx.request.body)
  })
  return app
}
`

const koaCommonjs = `
const Koa = require('koa')
const { bodyParser } = require('@koa/bodyparser')
const { createTurnlog } = require('turnlog')
const { chatHistory } = require('turnlog/koa')
`

const koaModules = `
import Koa from 'koa'
import { bodyParser } from '@koa/bodyparser'
import { createTurnlog } from 'turnlog'
import { chatHistory } from 'turnlog/koa'
`

const commonjs = `
const express = require('express')
const { createTurnlog } = require('turnlog')
const { remember } = require('turnlog/express')
`

const modules = `
import express from 'express'
import { createTurnlog } from 'turnlog'
import { remember } from 'turnlog/express'
`

const peers = `
async function missing(options, use = (turnlog) => turnlog.ready()) {
  const turnlog = createTurnlog(options)
  try {
    await use(turnlog)
    return 'nothing is missing'
  } catch (error) {
    return error.message
  } finally {
    await turnlog.close()
  }
}
async function main() {
  console.log(await missing({ database: 'memory' }))
  const redis = { database: process.env.DATABASE, redis: 'redis://127.0.0.1:1' }
  console.log(await missing(redis))
  console.log(await missing(redis, (turnlog) => turnlog.begin({ userId: 'ann', sessionId: 'new', question: 'hello' })))
}
void main()
`

/** What the second question was answered with: the first one and its answer came before it. */
export const heard = 'user, user assistant user'

/** A host in TypeScript. Every line that must hold is a type. */
const typed = `
import * as turnlogModule from 'turnlog'
import * as expressModule from 'turnlog/express'
import * as koaModule from 'turnlog/koa'
import * as migrationsModule from 'turnlog/migrations'
import { bearer, createTurnlog, SessionNotFound, type Turn, type Turnlog, type TurnlogOptions } from 'turnlog'
import { chatHistory, remember, sessionRoutes } from 'turnlog/express'

type IsAny<T> = 0 extends 1 & T ? true : false
type Leaks<M> = { [K in keyof M]-?: IsAny<M[K]> extends true ? K : never }[keyof M]
type Nothing<T> = [T] extends [never] ? true : false

export const clean: [
  Nothing<Leaks<typeof turnlogModule>>,
  Nothing<Leaks<typeof expressModule>>,
  Nothing<Leaks<typeof koaModule>>,
  Nothing<Leaks<typeof migrationsModule>>,
  Nothing<Leaks<Turnlog>>,
  Nothing<Leaks<Turnlog['sessions']>>,
  Nothing<Leaks<Turnlog['messages']>>,
  Nothing<Leaks<Turn>>,
  Nothing<Leaks<TurnlogOptions>>,
  Nothing<Leaks<Parameters<typeof remember>[1]>>,
  Nothing<Leaks<Parameters<typeof chatHistory>[1]>>,
  Nothing<Leaks<Parameters<typeof sessionRoutes>[1]>>,
  Nothing<Leaks<Parameters<typeof koaModule.remember>[1]>>,
  Nothing<Leaks<SessionNotFound>>,
] = [true, true, true, true, true, true, true, true, true, true, true, true, true, true]

export const turnlog = createTurnlog({ database: 'postgres://localhost/app', maxHistoryMessages: 20 })
export const handler = remember(turnlog, { userId: (req) => req.get('x-user') })
export const everything = chatHistory(turnlog, { userId: (req) => req.get('x-user') })
export const routes = sessionRoutes(turnlog, { userId: bearer({ secret: 'x'.repeat(32) }) })
export const koaHandler = koaModule.remember(turnlog, { userId: (ctx) => ctx.get('x-user') })
export const koaRoutes = koaModule.sessionRoutes(turnlog, { userId: (ctx) => ctx.get('x-user'), prefix: '/chat/sessions' })
export const status: number = new SessionNotFound().status

// @ts-expect-error an unknown option
createTurnlog({ databse: 'memory' })
// @ts-expect-error the user is required
remember(turnlog, {})
// @ts-expect-error the user is an id
remember(turnlog, { userId: () => new Date() })
// @ts-expect-error a turn needs a session
void turnlog.begin({ userId: 'ann', question: 'hello' })
`

/** The files of an empty project that uses the package in every way. */
export const files: Readonly<Record<string, string>> = {
  'package.json': '{ "private": true }',
  'missing.cjs': `const { createTurnlog } = require('turnlog')\n${peers}`,
  'missing.mjs': `import { createTurnlog } from 'turnlog'\n${peers}`,
  'host.cjs': `${commonjs}${program}talk(process.env.DATABASE).then(console.log)`,
  'host.mjs': `${modules}${program}console.log(await talk(process.env.DATABASE))`,
  'koa.cjs': `${koaCommonjs}${koaProgram}talk(process.env.DATABASE).then(console.log)`,
  'koa.mjs': `${koaModules}${koaProgram}console.log(await talk(process.env.DATABASE))`,
  'turnlog.test.js': `${commonjs}${program}test('remembers', async () => expect(await talk(process.env.DATABASE)).toBe('${heard}'), 60000)`,
  'typed.ts': typed,
  'typed.mts': typed,
}

/** Kinds of TypeScript hosts, by what tells them apart. */
export const compilers: Readonly<
  Record<string, { readonly options: object; readonly file: string; readonly old?: true }>
> = {
  'node16, CommonJS': { options: { module: 'node16', moduleResolution: 'node16' }, file: 'typed.ts' },
  'node16, ESM': { options: { module: 'node16', moduleResolution: 'node16' }, file: 'typed.mts' },
  bundler: { options: { module: 'esnext', moduleResolution: 'bundler' }, file: 'typed.ts' },
  // TypeScript 7 no longer has it.
  node10: { options: { module: 'commonjs', moduleResolution: 'node10' }, file: 'typed.ts', old: true },
}
