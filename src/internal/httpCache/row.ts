/**
 * How the responses to one URL are stored: one row of JSON, without their bodies.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { StoredResponse } from "../../HttpCacheStore.js"
import type { Value } from "../../Storage.js"

const strings = Schema.Array(Schema.String)
const headers = Schema.Record({ key: Schema.String, value: Schema.String })
const length = Schema.NonNegativeInt

const Response: Schema.Schema<StoredResponse> = Schema.Struct({
  bytes: length,
  cookies: strings,
  expiresAt: Schema.optional(Schema.Number),
  headers,
  id: Schema.String,
  method: Schema.String,
  range: Schema.optional(Schema.Struct({ first: length, last: Schema.Int, total: Schema.optional(length) })),
  requestTime: Schema.Number,
  responseTime: Schema.Number,
  status: Schema.Int,
  tags: strings,
  timeToLive: Schema.optional(Schema.Number),
  url: Schema.String,
  vary: Schema.Record({ key: Schema.String, value: Schema.NullOr(Schema.String) })
})

const Row = Schema.parseJson(Schema.Struct({ format: Schema.Literal(1), responses: Schema.Array(Response) }))
const decode = ParseResult.decodeUnknownEither(Row)

/** Rows that were read lately: they are read again and again, and do not often change. */
const remembered = 1000
const longestRemembered = 32 * 1024
const known = new Map<string, { readonly responses: ReadonlyArray<StoredResponse>; readonly value: Value }>()

const remember = (key: string, value: Value, responses: ReadonlyArray<StoredResponse>): void => {
  if (value.length > longestRemembered) return
  known.delete(key)
  known.set(key, { responses, value })
  if (known.size <= remembered) return
  const [oldest] = known.keys()
  if (oldest !== undefined) known.delete(oldest)
}

/**
 * Undefined for what is no row of ours.
 *
 * @internal
 */
export const parseRow = (key: string, value: Value): ReadonlyArray<StoredResponse> | undefined => {
  const before = known.get(key)
  if (before?.value === value) return before.responses
  const found = decode(value)
  if (Either.isLeft(found)) return undefined
  const { responses } = found.right
  remember(key, value, responses)
  return responses
}

/**
 * As text, which is then known.
 *
 * @internal
 */
export const printRow = (key: string, responses: ReadonlyArray<StoredResponse>): string => {
  const text = JSON.stringify({ format: 1, responses })
  remember(key, text, responses)
  return text
}

/**
 * Until when a row is of use: as long as one of its responses is.
 *
 * @internal
 */
export const rowExpiry = (responses: ReadonlyArray<StoredResponse>): number | undefined => {
  const last = Math.max(...responses.map(({ expiresAt }) => expiresAt ?? Infinity))
  return last === Infinity ? undefined : last
}
