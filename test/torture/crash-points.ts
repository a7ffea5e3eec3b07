/** The moments between a request and its response at which a server process can be made to kill itself. */
export type Moment =
  | 'the request has come'
  | 'its body is parsed'
  | 'before the cache is read'
  | 'the cache is read'
  | 'before the begin leaves'
  | 'the begin is under way'
  | 'the begin is answered'
  | 'before the window is cached'
  | 'the window is cached'
  | 'the handler is called'
  | 'the provider is asked'
  | 'the provider answers'
  | 'the first bytes come'
  | 'before the first bytes leave'
  | 'the first bytes have left'
  | 'the provider has ended'
  | 'before the completion leaves'
  | 'the completion is under way'
  | 'the completion is answered'
  | 'before the longer window is cached'
  | 'the longer window is cached'
  | 'before the end leaves'
  | 'the end has left'
  | 'the response is finished'
  | 'the response is closed'

/** How the request goes that meets the moment. */
export type Way = 'json' | 'stream' | 'failing' | 'leaving' | 'discarding'

export interface CrashPoint {
  readonly moment: Moment
  readonly way: Way
}

const answered: readonly Moment[] = [
  'the request has come',
  'its body is parsed',
  'before the cache is read',
  'the cache is read',
  'before the begin leaves',
  'the begin is under way',
  'the begin is answered',
  'before the window is cached',
  'the window is cached',
  'the handler is called',
  'the provider is asked',
  'the provider answers',
  'the first bytes come',
  'the provider has ended',
  'before the completion leaves',
  'the completion is under way',
  'the completion is answered',
  'before the longer window is cached',
  'the longer window is cached',
  'before the end leaves',
  'the end has left',
  'the response is finished',
  'the response is closed',
]

const endings: readonly Moment[] = [
  'before the completion leaves',
  'the completion is under way',
  'the completion is answered',
]

const at = (way: Way, moments: readonly Moment[]): CrashPoint[] => moments.map((moment) => ({ moment, way }))

/** Every moment of a JSON answer, those of a stream that differ, and those of the other endings. */
export const crashPoints: readonly CrashPoint[] = [
  ...at('json', answered),
  ...at('stream', ['before the first bytes leave', 'the first bytes have left', ...endings]),
  ...at('stream', ['before the end leaves', 'the end has left']),
  ...at('failing', endings),
  ...at('leaving', endings),
  ...at('discarding', endings),
]

export const nameOf = ({ moment, way }: CrashPoint): string => `${way}: ${moment}`
