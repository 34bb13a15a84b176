/**
 * A request as the cache sees it: its key, what holds for it, and what it accepts.
 *
 * @internal
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Either from "effect/Either"
import { createHash } from "node:crypto"
import type { Mode, RequestOptions } from "../../HttpCache.js"
import { sha256 } from "../sha256.js"
import { parseRequestDirectives, type RequestDirectives } from "./directives.js"
import type { Fields } from "./fields.js"
import { keyOf, normalUrl, type QuerySettings } from "./key.js"
import type { Applied, Settings } from "./settings.js"

/** @internal */
export interface Asked {
  readonly applied: Applied
  readonly directives: RequestDirectives
  readonly headers: Fields
  /** Nobody waits for its answer. */
  readonly isBackground: boolean
  /** The key of the URL by other settings for its query. */
  readonly keyFor: (query: QuerySettings) => string
  readonly key: string
  readonly method: string
  readonly mode: Mode
  readonly request: HttpClientRequest.HttpClientRequest
  readonly url: URL
  readonly normal: string
}

/** The hash of a body and its type; undefined if it cannot be a part of a key. */
const bodyOf = ({ body, headers }: HttpClientRequest.HttpClientRequest): string | undefined => {
  if (body._tag !== "Empty" && body._tag !== "Uint8Array") return undefined
  const hash = createHash("sha256").update(JSON.stringify(headers["content-type"] ?? null))
  return (body._tag === "Empty" ? hash : hash.update(body.body)).digest("hex")
}

/**
 * Whether it can be cached at all.
 *
 * @internal
 */
export const isKeyable = ({ body, method }: HttpClientRequest.HttpClientRequest): boolean =>
  method === "GET" || method === "HEAD" || body._tag === "Empty" || body._tag === "Uint8Array"

/**
 * Undefined if its URL is none; or what is wrong with its options.
 *
 * @internal
 */
export const ask = (
  request: HttpClientRequest.HttpClientRequest,
  own: RequestOptions,
  settings: Settings,
  partition: string | undefined
): Either.Either<Asked, string | undefined> => {
  const made = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
  if (Either.isLeft(made)) return Either.left(undefined)
  const url = made.right
  return Either.map(settings.appliedTo(request, url, own), (applied): Asked => {
    const { method } = request
    const isRead = method === "GET" || method === "HEAD"
    const named = url.username === "" && url.password === "" ? undefined : `${url.username}:${url.password}`
    // A user in the URL is sent as credentials, and counts as such.
    const headers: Fields = named === undefined || request.headers["authorization"] !== undefined
      ? request.headers
      : { ...request.headers, authorization: `Basic ${Buffer.from(named).toString("base64")}` }
    const { authorization } = headers
    const distinction = {
      // Only of those that are cached: others may be of any length.
      body: isRead || !settings.methods.has(method) ? undefined : bodyOf(request),
      // What is one user's is not another one's. A shared cache has rules for it.
      credentials: settings.isShared || authorization === undefined ? undefined : sha256(authorization),
      headers: settings.keyHeaders.map((name) => [name, headers[name]] as const),
      method: isRead ? undefined : method,
      partition
    }
    const normal = normalUrl(url, settings.query)
    return {
      applied,
      directives: parseRequestDirectives(headers["cache-control"], headers["pragma"]),
      headers,
      isBackground: false,
      key: keyOf(normal, distinction),
      keyFor: (query) => keyOf(normalUrl(url, query), distinction),
      method,
      mode: own.mode ?? "default",
      normal,
      request,
      url
    }
  })
}
