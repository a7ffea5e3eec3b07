import { get } from 'node:http'
import { createInterface } from 'node:readline'

import { startWorker, type Worker } from './process.js'
import type { Prompt } from './record.js'

export interface ProviderTask {
  /** The longest usual pause before an answer, in milliseconds. */
  readonly delayMs: number
}

/** How one request is to be answered; what is left out is left to chance. */
export interface Script {
  readonly delayMs?: number
  readonly fails?: boolean
  /** Characters beside the usual words; with it nothing is left to chance. */
  readonly length?: number
  /** Events that carry them. */
  readonly pieces?: number
  readonly pauseMs?: number
  /** So many streams wait for each other after their first event. */
  readonly together?: number
}

export const startProvider = (task: ProviderTask): Promise<Worker> => startWorker('provider-main.ts', task)

/** What reached the provider since it was asked last. */
export async function takePrompts({ url }: Worker): Promise<Prompt[]> {
  const prompts: Prompt[] = []
  await new Promise<void>((resolve, reject) => {
    get(url, (response) => {
      const lines = createInterface({ input: response })
      lines.on('line', (line) => prompts.push(JSON.parse(line) as Prompt))
      lines.on('close', resolve)
    }).on('error', reject)
  })
  return prompts
}
