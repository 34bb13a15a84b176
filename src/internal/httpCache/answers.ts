/**
 * What the client gets: what is stored, or a part of it, or what came from the origin; with all that tells how it came
 * about.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as HttpCache from "../../HttpCache.js"
import type { StoredResponse } from "../../HttpCacheStore.js"
import { isTraced, withNow } from "../storage/compat.js"
import type { Asked } from "./asked.js"
import type { Decision } from "./evaluate.js"
import { notModifiedFields } from "./fields.js"
import { cacheStatus, remember } from "./info.js"
import type { Found, Live, Parts, Why } from "./parts.js"
import { rangeAsked } from "./ranges.js"
import { emptyBody, Response, withHeaders } from "./response.js"
import { ifRangeHolds, isKnownToClient } from "./validators.js"

const isSuccess = (status: number): boolean => status >= 200 && status < 300

/** Whether it is the answer to the very same range: what that means is the origin's affair. */
const isSameRange = ({ headers }: Asked, { range, vary }: StoredResponse): boolean =>
  range !== undefined && headers["range"] !== undefined && vary["range"] === headers["range"]

/**
 * The part of the body that is asked for.
 *
 * @internal
 */
export const partOf = (asked: Asked, stored: StoredResponse) => {
  const { range: field } = asked.headers
  const own = stored.range
  const whole = own === undefined
    ? { first: 0, last: stored.bytes - 1, total: stored.bytes }
    : { first: own.first, last: own.first + stored.bytes - 1, total: own.total }
  if (field === undefined || asked.method !== "GET" || !ifRangeHolds(asked.headers["if-range"], stored)) {
    return undefined
  }
  if (stored.status !== 200 && stored.status !== 206) return undefined
  return isSameRange(asked, stored)
    ? { _tag: "Bytes" as const, range: whole, whole }
    : { ...rangeAsked(field, whole), whole }
}

/** @internal */
export const makeAnswers = ({ count, miss, options, store, tell, tolerated }: Parts) => {
  const counted = (info: HttpCache.CacheInfo): void => {
    if (info.collapsed) count.collapsed(1)
    if (info.outcome === "hit") count.hits(1)
    else if (info.outcome === "stale") count.staleHits(1)
    else if (info.outcome === "revalidated") count.revalidations(1)
    else if (info.outcome === "bypass") count.bypasses(1)
    else if (info.forwarded !== undefined) count.misses(1)
  }

  /** A response as the client gets it, with all that tells how it came about. */
  const answered = <A extends Live>(asked: Asked, response: A, info: HttpCache.CacheInfo): Effect.Effect<Live> =>
    Effect.withFiberRuntime((fiber) => {
      if (asked.isBackground) return Effect.succeed(response)
      counted(info)
      const { cacheStatus: name } = options
      const shown = name === undefined
        ? response
        : withHeaders(response, {
          ...response.headers,
          "cache-status": cacheStatus(name, info, response.headers["cache-status"])
        })
      tell({ _tag: "Answered", info, method: asked.method, status: response.status, url: asked.normal })
      remember(shown, info)
      return isTraced(fiber)
        ? Effect.as(Effect.annotateCurrentSpan("effect_kv.http.outcome", info.outcome), shown)
        : Effect.succeed(shown)
    })

  const fromOrigin = (asked: Asked, response: Live, why: Why, stored: boolean) =>
    answered(asked, response, {
      age: undefined,
      collapsed: why.collapsed,
      detail: why.detail,
      forwarded: why.forwarded,
      key: asked.key,
      outcome: why.forwarded === "bypass" || why.forwarded === "method" ? "bypass" : "miss",
      stored,
      storedAt: undefined,
      timeToLive: undefined
    })

  /** Answers with what is stored; undefined if its body is gone. */
  const serve = (
    asked: Asked,
    key: string,
    stored: StoredResponse,
    decision: Pick<Decision, "age" | "lifetime">,
    outcome: "hit" | "stale" | "revalidated",
    why: Omit<Why, "forwarded"> & { readonly forwarded: Why["forwarded"] | undefined }
  ): Effect.Effect<Live | undefined> =>
    withNow((now) => {
      const info: HttpCache.CacheInfo = {
        age: decision.age,
        collapsed: why.collapsed,
        detail: why.detail,
        forwarded: why.forwarded,
        key,
        outcome,
        stored: true,
        storedAt: stored.responseTime,
        timeToLive: decision.lifetime.millis - decision.age
      }
      const headers = { ...stored.headers, age: String(Math.floor(decision.age / 1000)) }
      const respond = (status: number, fields: Readonly<Record<string, string>>, body: typeof emptyBody) =>
        Effect.zipRight(
          store.used(key),
          answered(asked, new Response(asked.request, status, fields, stored.cookies, body), info)
        )
      if (isSuccess(stored.status) && isKnownToClient(asked.headers, stored, now) === true) {
        return respond(304, notModifiedFields(headers), emptyBody)
      }
      if (asked.method === "HEAD" || stored.method === "HEAD") return respond(stored.status, headers, emptyBody)
      const part = partOf(asked, stored)
      if (part?._tag === "Unsatisfiable") {
        return respond(
          416,
          { ...headers, "content-length": "0", "content-range": `bytes */${stored.bytes}` },
          emptyBody
        )
      }
      const range = part?._tag === "Bytes" ? part.range : undefined
      const offset = stored.range?.first ?? 0
      return Effect.flatMap(
        tolerated(
          store.body(key, stored, range && { first: range.first - offset, last: range.last - offset }),
          Option.none()
        ),
        (found) => {
          if (Option.isNone(found)) return Effect.succeed(undefined)
          const { bytes } = found.value
          count.bytesServed(bytes)
          return range === undefined
            ? respond(stored.status, headers, found.value)
            : respond(206, {
              ...headers,
              "content-length": String(bytes),
              "content-range": isSameRange(asked, stored)
                ? stored.headers["content-range"] ?? ""
                : `bytes ${range.first}-${range.last}/${part?.whole.total ?? "*"}`
            }, found.value)
        }
      )
    })

  const missed = (asked: Asked, found: Found): Effect.Effect<Live, HttpCache.CacheMiss> => {
    const reason = found.selected === undefined
      ? found.all.length === 0 ? "nothing is stored" : "nothing that is stored answers it"
      : "what is stored is stale"
    if (options.onCacheMiss === "fail") {
      return Effect.fail(miss({ method: asked.method, reason, url: asked.normal }))
    }
    // RFC 9111 section 5.2.1.7
    const response = new Response(asked.request, 504, { "content-length": "0" }, [], emptyBody)
    return answered(asked, response, {
      age: undefined,
      collapsed: undefined,
      detail: "only-if-cached",
      forwarded: undefined,
      key: asked.key,
      outcome: "miss",
      stored: false,
      storedAt: undefined,
      timeToLive: undefined
    })
  }

  return { fromOrigin, missed, serve }
}
