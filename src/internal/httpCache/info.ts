/**
 * How a response came about: kept beside it, and written into it.
 *
 * @internal
 */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Option from "effect/Option"
import { serializeList, Token } from "structured-headers"
import type { CacheInfo } from "../../HttpCache.js"

const known = new WeakMap<HttpClientResponse.HttpClientResponse, CacheInfo>()

/** @internal */
export const infoOf = (response: HttpClientResponse.HttpClientResponse): Option.Option<CacheInfo> =>
  Option.fromNullable(known.get(response))

/** @internal */
export const remember = <A extends HttpClientResponse.HttpClientResponse>(response: A, info: CacheInfo): A => {
  known.set(response, info)
  return response
}

const isToken = (text: string): boolean => /^[A-Za-z*][!#$%&'*+\-.^_`|~\w:/]*$/.test(text)

/** What a structured field can hold. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?")

/**
 * The header Cache-Status: RFC 9211. Caches before this one stand first.
 *
 * @internal
 */
export const cacheStatus = (name: string, info: CacheInfo, before: string | undefined): string => {
  const parameters = new Map<string, Token | string | number | boolean>()
  if (info.collapsed === true) parameters.set("fwd", new Token("uri-miss"))
  else if (info.forwarded === undefined) {
    if (info.outcome !== "miss") parameters.set("hit", true)
  } else {
    parameters.set("fwd", new Token(info.forwarded))
    if (info.outcome === "revalidated") parameters.set("fwd-status", 304)
  }
  if (info.timeToLive !== undefined && Math.abs(info.timeToLive) < 1e15) {
    parameters.set("ttl", Math.floor(info.timeToLive / 1000))
  }
  if (info.forwarded !== undefined && info.stored) parameters.set("stored", true)
  if (info.collapsed !== undefined) parameters.set("collapsed", info.collapsed)
  if (info.detail !== undefined) parameters.set("detail", new Token(info.detail))
  const own = serializeList([[isToken(name) ? new Token(name) : printable(name), parameters]])
  return before === undefined || before.trim() === "" ? own : `${before}, ${own}`
}
