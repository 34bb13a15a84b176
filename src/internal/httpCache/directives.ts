/**
 * The directives of Cache-Control, in responses (RFC 9111 section 5.2.2) and requests (5.2.1), and of the fields that
 * are targeted at some caches (RFC 9213). What is malformed, or there twice, has its most restrictive meaning.
 *
 * @internal
 */
import * as structured from "structured-headers"

/** A directive as it stands: with a value, without one, or malformed. */
interface Directive {
  readonly name: string
  readonly value: string | undefined
  readonly isMalformed: boolean
}

type Directives = ReadonlyArray<Directive>

const token = /[!#$%&'*+\-.^_`|~\w]+/y
const space = /[ \t]*/y

const unquoted = (text: string): string => text.slice(1, -1).replace(/\\([\s\S])/g, "$1")

/** Where a quoted string ends that begins here. An expression would not get through a very long one. */
const endOfQuotes = (text: string, start: number): number | undefined => {
  if (text[start] !== "\"") return undefined
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\"") return at + 1
    if (text[at] === "\\") at++
  }
  return undefined
}

/** Everything between commas; a comma in a quoted string is none, unless the string does not end. */
const parse = (text: string): Directives => {
  const found: Array<Directive> = []
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(text)?.[0]
    at += match?.length ?? 0
    return match
  }
  while (at < text.length) {
    take(space)
    const name = take(token)?.toLowerCase()
    let value: string | undefined
    let isMalformed = false
    if (name !== undefined && text[at] === "=") {
      at++
      const end = endOfQuotes(text, at)
      value = end === undefined ? take(token) : unquoted(text.slice(at, end))
      at = end ?? at
      isMalformed = value === undefined
    }
    take(space)
    if (at < text.length && text[at] !== ",") {
      isMalformed = true
      const comma = text.indexOf(",", at)
      at = comma < 0 ? text.length : comma
    }
    at++
    if (name !== undefined) found.push({ isMalformed, name, value })
  }
  return found
}

/** Beyond this, a time is for ever: RFC 9111 section 1.2.2. */
const longestSeconds = 2 ** 31

const seconds = ({ isMalformed, value }: Directive): number | undefined =>
  !isMalformed && value !== undefined && /^\d+$/.test(value) ? Math.min(Number(value), longestSeconds) : undefined

/** The least of all there are; what is no number counts as `otherwise`. */
const least = (directives: Directives, name: string, otherwise = 0): number | undefined => {
  let found: number | undefined
  for (const directive of directives) {
    if (directive.name !== name) continue
    const value = seconds(directive) ?? otherwise
    found = found === undefined ? value : Math.min(found, value)
  }
  return found
}

const has = (directives: Directives, name: string): boolean => directives.some((directive) => directive.name === name)

/** What allows more than would be allowed without it has to be as it should. */
const grants = (directives: Directives, name: string): boolean =>
  directives.some((directive) => directive.name === name && !directive.isMalformed)

/** True for the whole response, or the fields it is about. */
const qualified = (directives: Directives, name: string): true | ReadonlyArray<string> => {
  const fields: Array<string> = []
  for (const { isMalformed, name: found, value } of directives) {
    if (found !== name) continue
    const names = value?.split(",").map((field) => field.trim().toLowerCase())
    if (isMalformed || names === undefined || names.some((field) => !/^[!#$%&'*+\-.^_`|~\w]+$/.test(field))) return true
    for (const field of names) fields.push(field)
  }
  return fields
}

/**
 * What a response says of its caching. Times in seconds.
 *
 * @internal
 */
export interface ResponseDirectives {
  readonly immutable: boolean
  readonly maxAge: number | undefined
  readonly mustRevalidate: boolean
  readonly mustUnderstand: boolean
  /** True, or the fields that are not to be used without validation. */
  readonly noCache: true | ReadonlyArray<string>
  readonly noStore: boolean
  /** True, or the fields that are for one user. */
  readonly private: true | ReadonlyArray<string>
  readonly proxyRevalidate: boolean
  readonly public: boolean
  readonly sMaxAge: number | undefined
  readonly staleIfError: number | undefined
  readonly staleWhileRevalidate: number | undefined
}

const responseDirectives = (directives: Directives): ResponseDirectives => ({
  immutable: grants(directives, "immutable"),
  maxAge: least(directives, "max-age"),
  mustRevalidate: has(directives, "must-revalidate"),
  mustUnderstand: grants(directives, "must-understand"),
  noCache: qualified(directives, "no-cache"),
  noStore: has(directives, "no-store"),
  private: qualified(directives, "private"),
  proxyRevalidate: has(directives, "proxy-revalidate"),
  public: grants(directives, "public"),
  sMaxAge: least(directives, "s-maxage"),
  staleIfError: least(directives, "stale-if-error"),
  staleWhileRevalidate: least(directives, "stale-while-revalidate")
})

/**
 * For a response without any.
 *
 * @internal
 */
export const noDirectives: ResponseDirectives = responseDirectives([])

/** @internal */
export const parseResponseDirectives = (text: string | undefined): ResponseDirectives =>
  text === undefined ? noDirectives : responseDirectives(parse(text))

/**
 * Of a targeted field, which is a Dictionary of RFC 9651. Undefined if it is empty or cannot be read: then it is as if
 * it were not there.
 *
 * @internal
 */
export const parseTargetedDirectives = (text: string | undefined): ResponseDirectives | undefined => {
  if (text === undefined) return undefined
  try {
    const members = structured.parseDictionary(text)
    if (members.size === 0) return undefined
    const directives: Array<Directive> = []
    for (const [name, [value]] of members) {
      if (value === false) continue
      directives.push({
        isMalformed: Array.isArray(value) || (typeof value === "number" && !Number.isInteger(value)),
        name,
        value: typeof value === "number" || typeof value === "string" ? String(value) : undefined
      })
    }
    return responseDirectives(directives)
  } catch {
    return undefined
  }
}

/**
 * What a request says of what it accepts. Times in seconds.
 *
 * @internal
 */
export interface RequestDirectives {
  readonly maxAge: number | undefined
  readonly maxStale: number | undefined
  readonly minFresh: number | undefined
  readonly noCache: boolean
  readonly noStore: boolean
  readonly onlyIfCached: boolean
  readonly staleIfError: number | undefined
}

/** Stale for however long. */
const anyStaleness = (directives: Directives): Directives =>
  directives.map((directive) =>
    directive.name === "max-stale" && directive.value === undefined && !directive.isMalformed
      ? { ...directive, value: String(longestSeconds) }
      : directive
  )

/**
 * For a request without any.
 *
 * @internal
 */
export const noRequestDirectives: RequestDirectives = {
  maxAge: undefined,
  maxStale: undefined,
  minFresh: undefined,
  noCache: false,
  noStore: false,
  onlyIfCached: false,
  staleIfError: undefined
}

/**
 * Without Cache-Control, Pragma counts, as for caches of HTTP/1.0 (RFC 7234 section 5.4).
 *
 * @internal
 */
export const parseRequestDirectives = (
  cacheControl: string | undefined,
  pragma: string | undefined
): RequestDirectives => {
  if (cacheControl === undefined) {
    return pragma !== undefined && has(parse(pragma), "no-cache")
      ? { ...noRequestDirectives, noCache: true }
      : noRequestDirectives
  }
  const directives = parse(cacheControl)
  return {
    maxAge: least(directives, "max-age"),
    maxStale: least(anyStaleness(directives), "max-stale"),
    minFresh: directives.some((directive) => directive.name === "min-fresh" && seconds(directive) === undefined)
      ? longestSeconds
      : most(directives, "min-fresh"),
    noCache: has(directives, "no-cache"),
    noStore: has(directives, "no-store"),
    onlyIfCached: has(directives, "only-if-cached"),
    staleIfError: least(directives, "stale-if-error")
  }
}

const most = (directives: Directives, name: string): number | undefined => {
  let found: number | undefined
  for (const directive of directives) {
    const value = directive.name === name ? seconds(directive) : undefined
    if (value !== undefined) found = Math.max(found ?? 0, value)
  }
  return found
}
