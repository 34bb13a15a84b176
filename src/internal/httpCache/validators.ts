/**
 * Validators, and the conditions that name them: RFC 9110 sections 8.8 and 13.
 *
 * @internal
 */
import type { StoredResponse } from "../../HttpCacheStore.js"
import { parseDate } from "./date.js"
import type { Fields } from "./fields.js"

const opaque = (tag: string): string => tag.trim().replace(/^W\//, "")

const isWeak = (tag: string): boolean => tag.trim().startsWith("W/")

/** 8.8.3.2. @internal */
export const weakEquals = (a: string, b: string): boolean => opaque(a) === opaque(b)

/** @internal */
export const strongEquals = (a: string, b: string): boolean => !isWeak(a) && !isWeak(b) && a.trim() === b.trim()

/** The tags of a list: quoted ones may hold commas. What has no quotes is taken as it is. */
const tagsOf = (list: string): ReadonlyArray<string> => list.match(/(?:W\/)?"[^"]*"|[^\s,"]+/g) ?? []

/**
 * Whether an If-None-Match names a tag, by weak comparison.
 *
 * @internal
 */
export const namesTag = (field: string | undefined, etag: string): boolean =>
  field !== undefined && tagsOf(field).some((tag) => weakEquals(tag, etag))

/**
 * Whether the client has the stored response already, by its own conditions: 13.2.2. Undefined if it has none.
 *
 * @internal
 */
export const isKnownToClient = (request: Fields, stored: StoredResponse, now: number): boolean | undefined => {
  const tags = request["if-none-match"]
  if (tags !== undefined) {
    const { etag } = stored.headers
    return tags.trim() === "*" || (etag !== undefined && namesTag(tags, etag))
  }
  const since = parseDate(request["if-modified-since"], now)
  if (since === undefined) return undefined
  // Without Last-Modified, what was made before is not modified since: RFC 9111 section 4.3.2.
  const modified = parseDate(stored.headers["last-modified"], now) ?? parseDate(stored.headers["date"], now) ??
    stored.responseTime
  return modified <= since
}

/**
 * Whether an If-Range lets a range be answered from the stored response: 13.1.5.
 *
 * @internal
 */
export const ifRangeHolds = (field: string | undefined, { headers }: StoredResponse): boolean => {
  if (field === undefined) return true
  return /^\s*(?:W\/)?"/.test(field)
    ? headers["etag"] !== undefined && strongEquals(field, headers["etag"])
    : headers["last-modified"] !== undefined && headers["last-modified"].trim() === field.trim() && isStrong(headers)
}

/** Whether a time says that nothing has changed within its second: 8.8.2.2. */
const isStrong = ({ date, "last-modified": modified }: Fields): boolean =>
  (parseDate(date, 0) ?? -Infinity) - (parseDate(modified, 0) ?? Infinity) >= 1000

/** Conditions that only the origin can judge: 13.1.1 and 13.1.4. @internal */
export const isForOrigin = (request: Fields): boolean =>
  request["if-match"] !== undefined || request["if-unmodified-since"] !== undefined

/** @internal */
export const hasConditions = (request: Fields): boolean =>
  request["if-none-match"] !== undefined || request["if-modified-since"] !== undefined

/**
 * The conditions by which the origin tells whether a stored response is current: the tags of all that are there, and
 * the client's (RFC 9111 section 4.3.1). None if nothing stored has a validator.
 *
 * @internal
 */
export const conditions = (
  request: Fields,
  selected: StoredResponse | undefined,
  all: ReadonlyArray<StoredResponse>
): Fields | undefined => {
  const tags = new Set(all.flatMap(({ headers }) => headers["etag"] ?? []))
  const modified = selected?.headers["last-modified"]
  if (tags.size === 0 && modified === undefined) return undefined
  // Whatever there is, is there if one of ours is.
  for (const tag of tagsOf(request["if-none-match"] ?? "")) if (tag !== "*") tags.add(tag)
  return {
    ...(tags.size === 0 ? {} : { "if-none-match": [...tags].join(", ") }),
    ...(modified === undefined ? {} : { "if-modified-since": modified })
  }
}

/**
 * Which stored response a 304 says is current: RFC 9111 section 4.3.4.
 *
 * @internal
 */
export const validated = (
  request: Fields,
  response: Fields,
  selected: StoredResponse | undefined,
  all: ReadonlyArray<StoredResponse>
): StoredResponse | undefined => {
  const { etag, "last-modified": modified } = response
  if (etag !== undefined) {
    const found = all.filter(({ headers }) => headers["etag"] !== undefined && weakEquals(headers["etag"], etag))
    if (found.length > 0) return selected !== undefined && found.includes(selected) ? selected : found[0]
    // If it was asked about one only, that is meant, though the origin names it otherwise.
    return all.length === 1 && request["if-none-match"] === undefined ? all[0] : undefined
  }
  // It may as well be about what the client has.
  if (request["if-none-match"] !== undefined) return undefined
  if (selected !== undefined) return selected
  const found = modified === undefined ? [] : all.filter(({ headers }) => headers["last-modified"] === modified)
  return found[0] ?? (all.length === 1 ? all[0] : undefined)
}
