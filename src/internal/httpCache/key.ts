/**
 * Under which key the responses to a request are stored: RFC 9111 section 2, RFC 3986 section 6, No-Vary-Search.
 *
 * @internal
 */
import { isInnerList, parseDictionary } from "structured-headers"
import { sha256 } from "../sha256.js"

/** What needs no escape means the same without one: RFC 3986 section 6.2.2. */
const normalEscapes = (text: string): string =>
  text.includes("%")
    ? text.replace(/%[\da-f]{2}/gi, (escape) => {
      const char = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
      return /[\w\-.~]/.test(char) ? char : escape.toUpperCase()
    })
    : text

/** @internal */
export interface QuerySettings {
  /** The parameter is as if it were not there. */
  readonly isIgnored: ((name: string) => boolean) | undefined
  readonly isSorted: boolean
}

const nameOf = (parameter: string): string => {
  const [name = ""] = parameter.split("=", 1)
  const plain = name.replaceAll("+", " ")
  try {
    return decodeURIComponent(plain)
  } catch {
    return plain
  }
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

const normalSearch = (search: string, { isIgnored, isSorted }: QuerySettings): string => {
  if (search.length <= 1) return search
  if (isIgnored === undefined && !isSorted) return normalEscapes(search)
  const parameters = search.slice(1).split("&").filter((parameter) => isIgnored?.(nameOf(parameter)) !== true)
  const kept = parameters.map(normalEscapes)
  // What has one name stays in its order.
  if (isSorted) kept.sort((a, b) => compare(nameOf(a), nameOf(b)))
  return kept.length === 0 ? "" : `?${kept.join("&")}`
}

/** `URL` knows none for other schemes than its own. */
const originOf = ({ host, protocol }: URL): string => `${protocol}//${host}`

/** A query without parameters is one all the same: RFC 3986 section 6.2.3. */
const searchOf = ({ hash, href, search }: URL): string =>
  search === "" && href.slice(0, href.length - hash.length).endsWith("?") ? "?" : search

/**
 * One form for URLs that mean the same. What `URL` does already, it has done. Who is named in it is not told: that is a
 * credential.
 *
 * @internal
 */
export const normalUrl = (url: URL, settings: QuerySettings): string =>
  originOf(url) + normalEscapes(url.pathname) + normalSearch(searchOf(url), settings)

/** A key is at most 2,048 bytes long, and ours has to leave room. */
const longest = 750

/** The URL, or as much of it as fits and its hash. */
const fitting = (url: string): string => url.length <= longest ? url : `${url.slice(0, longest)}~${sha256(url)}`

/**
 * What the keys of all responses to a URL begin with.
 *
 * @internal
 */
export const keysOf = (url: string): string => `${fitting(url)} `

/**
 * What makes the same URL another resource: undefined, or empty, if nothing does.
 *
 * @internal
 */
export interface Distinction {
  readonly body?: string | undefined
  readonly credentials?: string | undefined
  readonly headers?: ReadonlyArray<readonly [name: string, value: string | undefined]> | undefined
  readonly method?: string | undefined
  readonly partition?: string | undefined
}

/** @internal */
export const keyOf = (url: string, { body, credentials, headers = [], method, partition }: Distinction): string => {
  const isPlain = body === undefined && credentials === undefined && headers.length === 0 && method === undefined &&
    partition === undefined
  const parts = [method ?? null, body ?? null, partition ?? null, credentials ?? null, headers]
  return keysOf(url) + (isPlain ? "" : sha256(JSON.stringify(parts)))
}

/**
 * How URLs begin, in normal form; undefined if none begins so.
 *
 * @internal
 */
export const normalPrefix = (prefix: string): string | undefined => {
  const [, scheme, host, rest = ""] = /^([a-z][a-z\d+.-]*):\/\/([^/?#]*)(.*)$/is.exec(prefix) ?? []
  return scheme === undefined || host === undefined
    ? undefined
    : `${scheme.toLowerCase()}://${host.toLowerCase()}${normalEscapes(rest)}`
}

/**
 * The longest beginning that keys of URLs which begin with this have in common, and whether that says it all.
 *
 * @internal
 */
export const prefixOf = (url: string): { readonly isAll: boolean; readonly prefix: string } => ({
  isAll: url.length <= longest,
  prefix: url.slice(0, longest)
})

/**
 * Which parameters of its URL a response does not depend on.
 *
 * @internal
 */
export interface NoVarySearch {
  readonly ignored: true | ReadonlyArray<string>
  readonly kept: ReadonlyArray<string>
  readonly isSorted: boolean
}

const strings = (items: ReadonlyArray<readonly [unknown, unknown]>): ReadonlyArray<string> | undefined => {
  const found = items.flatMap(([item]) => typeof item === "string" ? nameOf(item) : [])
  return found.length === items.length ? found : undefined
}

/**
 * The field No-Vary-Search; undefined if it is not there, says nothing, or cannot be read.
 *
 * @internal
 */
export const parseNoVarySearch = (field: string | undefined): NoVarySearch | undefined => {
  if (field === undefined) return undefined
  try {
    const members = parseDictionary(field)
    const order = members.get("key-order")?.[0]
    const params = members.get("params")
    const except = members.get("except")
    if (order !== undefined && typeof order !== "boolean") return undefined
    const ignored = params === undefined
      ? []
      : isInnerList(params)
      ? strings(params[0])
      : params[0] === true
      ? true
      : params[0] === false
      ? []
      : undefined
    const kept = except === undefined ? [] : isInnerList(except) ? strings(except[0]) : undefined
    if (ignored === undefined || kept === undefined || (except !== undefined && ignored !== true)) return undefined
    const isSorted = order === true
    return ignored !== true && ignored.length === 0 && !isSorted ? undefined : { ignored, isSorted, kept }
  } catch {
    return undefined
  }
}

/**
 * What the keys of a path begin with, without a query and with one.
 *
 * @internal
 */
export const keysOfPath = (url: URL): readonly [plain: string, withQuery: string] => {
  const path = originOf(url) + normalEscapes(url.pathname)
  return [keysOf(path), `${path}?`]
}

/**
 * The settings by which a URL becomes that of all which it may stand for.
 *
 * @internal
 */
export const noVarySettings = (
  { ignored, isSorted, kept }: NoVarySearch,
  { isIgnored, isSorted: areSorted }: QuerySettings
): QuerySettings => ({
  isIgnored: (name) => isIgnored?.(name) === true || (ignored === true ? !kept.includes(name) : ignored.includes(name)),
  isSorted: isSorted || areSorted
})
