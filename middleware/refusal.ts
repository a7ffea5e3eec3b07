import { TurnlogError } from '../lib/index.js'

/** An answer that an adapter writes itself. */
export interface Refusal {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The answer to an error of ours; nothing for a fault of somebody else, which is the host's to answer. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof TurnlogError)) return undefined
  const headers: Record<string, string> = {
    'Content-Type': 'application/json; charset=utf-8',
    'Cache-Control': 'no-store',
    ...(error.retryAfterSeconds !== undefined && { 'Retry-After': String(error.retryAfterSeconds) }),
    ...('allow' in error && typeof error.allow === 'string' && { Allow: error.allow }),
  }
  return { status: error.status, headers, body: JSON.stringify(error.toBody()) }
}
