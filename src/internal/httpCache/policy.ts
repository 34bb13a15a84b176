/**
 * What the decisions about a request and its response depend on, beside these two: the options of the cache, of the
 * rule and of the request, brought together. Times in milliseconds.
 *
 * @internal
 */

/** @internal */
export interface Policy {
  readonly heuristics: { readonly atMost: number; readonly fraction: number } | undefined
  /** What responses say of their caching counts for nothing. */
  readonly ignores: boolean
  readonly isShared: boolean
  /** Which statuses `timeToLive` is for; those that may be guessed about. */
  readonly isForTimeToLive: (status: number) => boolean
  /** Which statuses may be stored; all that the RFC allows. */
  readonly isStatus: (status: number) => boolean
  /** How long a stale response may be asked for by what the options say. */
  readonly keepsFor: number
  /** How long a stale response stands in when the origin cannot be reached. */
  readonly staleIfDisconnected: number
  /** The same when it answers with an error as well, unless the response tells. */
  readonly staleIfError: number | undefined
  readonly staleWhileRevalidate: number | undefined
  /** Targeted fields, the first that is there counts. */
  readonly targets: ReadonlyArray<string>
  /** How the values of a selecting field are compared. */
  readonly vary: Readonly<Record<string, ((value: string) => string) | false>>
}
