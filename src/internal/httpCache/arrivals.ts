/**
 * What becomes of a response that has come from the origin: it is stored, or makes current what is, or neither.
 *
 * @internal
 */
import * as Cookies from "@effect/platform/Cookies"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { parseList } from "structured-headers"
import type { NewResponse, StoredResponse } from "../../HttpCacheStore.js"
import { outsideTransactions } from "../storage/transactions.js"
import type { makeAnswers } from "./answers.js"
import type { Asked } from "./asked.js"
import { formatDate } from "./date.js"
import { noRequestDirectives } from "./directives.js"
import { download, whyBroken } from "./download.js"
import { evaluate } from "./evaluate.js"
import type { Fetch, Outcome } from "./fetches.js"
import { decodedFields, storedFields, updatedFields } from "./fields.js"
import { ageOf, directivesOf, lifetimeOf } from "./freshness.js"
import { noVarySettings, parseNoVarySearch } from "./key.js"
import type { Arrival, Found, Live, Parts, Trouble } from "./parts.js"
import { contentRangeOf } from "./ranges.js"
import { emptyBody, isDecoded, isRedirected, Response } from "./response.js"
import { storable } from "./storable.js"
import { matches, selectingValues } from "./vary.js"

/**
 * The length that a response says its body has.
 *
 * @internal
 */
export const lengthOf = (field: string | undefined): number | undefined =>
  field !== undefined && /^\d+$/.test(field.trim()) ? Number(field) : undefined

const isTrouble = (error: unknown): error is Trouble =>
  typeof error === "object" && error !== null && "_tag" in error &&
  (error._tag === "StorageError" || error._tag === "InvalidKey")

/**
 * The strings of a list: RFC 9875 section 2.
 *
 * @internal
 */
export const groupsOf = (field: string | undefined): ReadonlyArray<string> => {
  if (field === undefined) return []
  try {
    return parseList(field).flatMap(([member]) => typeof member === "string" ? member : [])
  } catch {
    return []
  }
}

/**
 * The tag of a group, which is of its origin.
 *
 * @internal
 */
export const groupTag = ({ origin }: URL, group: string): string => `cache-group ${origin} ${group}`

/** What is asked about is not read by that. */
const withoutBody = ({ request }: Asked, { cookies, headers, remoteAddress, status }: Live): Live =>
  new Response(request, status, headers, cookies, emptyBody, remoteAddress)

/** Whether what was stored before is not what the URL stands for any more, though this is not stored. */
const replaces = ({ headers }: Asked, { status }: Live): boolean =>
  headers["range"] === undefined &&
  ((status >= 200 && status < 400 && status !== 304) || status === 404 || status === 410)

/**
 * Does it behind the caller, who does not wait for the storage. Who asks for the same does.
 *
 * @internal
 */
export const behind = (
  fetch: Fetch,
  self: Effect.Effect<void>,
  outcome: Outcome = "stored"
): Effect.Effect<void> =>
  Effect.suspend(() => {
    fetch.isComplete = true
    return Effect.asVoid(Effect.forkDaemon(
      outsideTransactions(Effect.ensuring(self, Effect.sync(() => fetch.end(outcome))))
    ))
  })

/** @internal */
export const makeArrivals = (parts: Parts, { fromOrigin }: ReturnType<typeof makeAnswers>) => {
  const { count, maxEntryBytes, options, running, settings, store, tell, tolerate, tolerated } = parts

  const until = (response: NewResponse, asked: Asked): number | undefined => {
    const { policy } = asked.applied
    const directives = directivesOf(response, policy)
    const life = lifetimeOf(response, policy).millis
    const after = Math.max(
      settings.retain,
      (directives.staleWhileRevalidate ?? 0) * 1000,
      (directives.staleIfError ?? 0) * 1000,
      policy.keepsFor
    )
    const at = response.responseTime + Math.max(0, life - ageOf(response, response.responseTime)) + after
    return at < Number.MAX_SAFE_INTEGER ? Math.ceil(at) : undefined
  }

  const tagsOf = (asked: Asked, response: Live): ReadonlyArray<string> => {
    const fromHeaders = settings.tagHeaders.flatMap((name) => {
      const value = response.headers[name]
      if (value === undefined) return []
      if (name === "cache-groups") return groupsOf(value).map((group) => groupTag(asked.url, group))
      return value.split(name === "surrogate-key" ? /[\s,]/ : ",").map((tag) => tag.trim()).filter((tag) => tag !== "")
    })
    return [...new Set([...asked.applied.tags, ...fromHeaders])]
  }

  const received = (asked: Asked, response: Live, requestTime: number, responseTime: number): NewResponse => {
    const { applied } = asked
    const isReadable = !isDecoded(response)
    const plain = { ...response.headers }
    const fields = isReadable ? plain : decodedFields(plain)
    const directives = directivesOf({ headers: response.headers }, applied.policy)
    const kept = storedFields(fields, directives, settings.isShared, settings.dropped)
    // RFC 9110 section 6.6.1
    const headers = kept["date"] === undefined ? { ...kept, date: formatDate(responseTime) } : kept
    const part = response.status === 206 ? contentRangeOf(headers["content-range"]) : undefined
    const vary = selectingValues(asked.headers, headers["vary"], applied.policy)
    const before: NewResponse = {
      cookies: settings.dropped.includes("set-cookie") || headers["set-cookie"] === undefined
        ? []
        : Cookies.toSetCookieHeaders(response.cookies),
      headers,
      method: asked.method,
      range: part,
      requestTime,
      responseTime,
      status: response.status,
      tags: tagsOf(asked, response),
      timeToLive: applied.timeToLive(responseTime),
      url: asked.normal,
      vary: part === undefined || asked.headers["range"] === undefined
        ? vary
        : { ...vary, range: asked.headers["range"] }
    }
    return { ...before, expiresAt: until(before, asked) }
  }

  /** Under which key a response is stored: without the parameters on which it does not depend. */
  const placeOf = (asked: Asked, found: Found, response: NewResponse): Effect.Effect<string, Trouble> => {
    const rule = parseNoVarySearch(response.headers["no-vary-search"])
    const key = rule === undefined ? asked.key : asked.keyFor(noVarySettings(rule, settings.query))
    // What is found first, by the whole query, would stand in its way.
    return key === asked.key || found.all.length === 0
      ? Effect.succeed(key)
      : Effect.as(store.delete(asked.key), key)
  }

  const refused = (asked: Asked, reason: string): void => tell({ _tag: "NotStored", reason, url: asked.normal })

  /** Whether a response is stored; the reason, if it is not. */
  const refusalOf = (asked: Asked, response: Live, stored: NewResponse): Effect.Effect<string | undefined> =>
    Effect.suspend(() => {
      const decision = storable(
        { directives: asked.directives, headers: asked.headers, method: asked.method },
        // As it came: what is not stored of it counts all the same.
        { ...stored, headers: { ...response.headers } },
        asked.applied.policy
      )
      if (decision._tag === "Refuse") return Effect.succeed(decision.reason)
      if (Number(response.headers["content-length"]) > maxEntryBytes) return Effect.succeed("too-large")
      // It is of another URL, whose own redirect nobody has seen.
      if (isRedirected(response)) return Effect.succeed("redirected")
      // It has no end.
      if (/^\s*text\/event-stream/i.test(response.headers["content-type"] ?? "")) return Effect.succeed("event-stream")
      return options.shouldStore === undefined
        ? Effect.succeed(undefined)
        : Effect.map(
          options.shouldStore(asked.request, withoutBody(asked, response)),
          (should) => should ? undefined : "filter"
        )
    })

  /** Whether what is known of a response may be kept, when another one has changed it. */
  const isStorable = ({ applied, directives, headers, method }: Asked, response: NewResponse): boolean =>
    storable({ directives, headers, method }, response, applied.policy)._tag === "Store"

  const storedNow = (asked: Asked, key: string, bytes: number): void => {
    count.stores(1)
    tell({ _tag: "Stored", bytes, key, url: asked.normal })
  }

  /** A response to HEAD says what is known of the response to GET: RFC 9111 section 4.3.5. */
  const refreshedByHead = (asked: Asked, found: Found, head: NewResponse) =>
    tolerated(
      store.update(found.key, (all) =>
        all.flatMap((stored) => {
          if (stored.method === "HEAD" || !matches(asked.headers, stored, asked.applied.policy)) return stored
          if (head.status !== 200 || stored.status !== 200) return stored
          const { "content-length": length, etag, "last-modified": modified } = head.headers
          const isSame = (etag === undefined || stored.headers["etag"] === etag) &&
            (modified === undefined || stored.headers["last-modified"] === modified) &&
            (length === undefined || Number(length) === stored.bytes)
          const current = renewed(asked, stored, head)
          return !isSame ? [] : isStorable(asked, current) ? current : stored
        })),
      undefined
    )

  const renewed = (asked: Asked, stored: StoredResponse, by: NewResponse): StoredResponse => {
    const changed = {
      ...stored,
      cookies: by.cookies.length === 0 ? stored.cookies : by.cookies,
      headers: updatedFields(stored.headers, by.headers),
      requestTime: by.requestTime,
      responseTime: by.responseTime,
      tags: [...new Set([...stored.tags, ...by.tags])],
      timeToLive: by.timeToLive,
      vary: by.headers["vary"] === undefined || by.headers["vary"] === stored.headers["vary"] ? stored.vary : by.vary
    }
    return { ...changed, expiresAt: until(changed, asked) }
  }

  /** A response that is not stored, and what that means for what was. */
  const leftOut = ({ asked, canStore, fetch, found, response, why }: Arrival, refusal: string): Effect.Effect<Live> => {
    refused(asked, refusal)
    const { key, selected } = found
    fetch.release("unshared")
    const others = selected !== undefined && canStore && replaces(asked, response)
      ? behind(
        fetch,
        tolerated(store.update(key, (all) => all.filter(({ id }) => id !== selected.id)), undefined),
        "unshared"
      )
      : Effect.sync(() => fetch.end("unshared"))
    return Effect.zipRight(others, fromOrigin(asked, response, { ...why, detail: refusal }, false))
  }

  /** A response without a body is stored behind the caller. */
  const storedAlone = ({ asked, fetch, response, why }: Arrival, key: string, stored: NewResponse) => {
    const written = store.write(key, stored, new Uint8Array(0), { isWanted: () => !fetch.isCancelled })
    const told = Effect.map(tolerated(written, Option.none()), (found) => {
      if (Option.isSome(found)) storedNow(asked, key, 0)
    })
    return Effect.zipRight(behind(fetch, told), fromOrigin(asked, response, why, true))
  }

  /** A body is stored on its way to the caller. */
  const storedOnItsWay = ({ asked, fetch, response, why }: Arrival, key: string, stored: NewResponse) => {
    const { cookies, headers, remoteAddress, status } = response
    const part = stored.range
    const downloading = download({
      fetch,
      key,
      length: isDecoded(response)
        ? undefined
        : lengthOf(headers["content-length"]) ?? (part && part.last - part.first + 1),
      maxBytes: maxEntryBytes,
      onEnd: (exit) => {
        if (Exit.isSuccess(exit)) {
          if (Option.isSome(exit.value)) storedNow(asked, key, exit.value.value.bytes)
          else refused(asked, fetch.isCancelled ? "invalidated" : "outdated")
          return Effect.void
        }
        const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
        if (isTrouble(error)) return tolerate(error, Effect.sync(() => refused(asked, "storage")))
        refused(asked, whyBroken(error) ?? "aborted")
        return Effect.void
      },
      origin: response,
      response: stored,
      store
    }, running)
    // Nobody else knows of it yet: it must not be lost before somebody does.
    const passed = Effect.uninterruptible(Effect.map(downloading, ({ abandonWith, source }) => {
      const own = new Response(asked.request, status, headers, cookies, source, remoteAddress)
      abandonWith(own)
      return own
    }))
    return Effect.flatMap(passed, (own) => fromOrigin(asked, own, why, true))
  }

  /** A response that has come: it is stored, if it may be. */
  const arrived = (arrival: Arrival): Effect.Effect<Live> =>
    Effect.gen(function*() {
      const { asked, canStore, fetch, found, requestTime, response, responseTime, why } = arrival
      fetch.progress++
      const stored = received(asked, response, requestTime, responseTime)
      if (asked.method === "HEAD" && found.all.some(({ method }) => method !== "HEAD")) {
        yield* refreshedByHead(asked, found, stored)
        fetch.end("unshared")
        return yield* fromOrigin(asked, response, why, false)
      }
      const refusal = canStore ? yield* refusalOf(asked, response, stored) : "transaction"
      if (refusal !== undefined) return yield* leftOut(arrival, refusal)
      const key = yield* tolerated(placeOf(asked, found, stored), asked.key)
      fetch.key = key
      fetch.tags = stored.tags
      // What has to be validated each time is of no use to others.
      const decision = evaluate(
        noRequestDirectives,
        { ...stored, bytes: 0, id: "" },
        responseTime,
        asked.applied.policy,
        "default"
      )
      if (decision._tag === "Revalidate") fetch.release("unshared")
      const hasBody = asked.method !== "HEAD" && response.status !== 204 && response.headers["content-length"] !== "0"
      return yield* (hasBody ? storedOnItsWay(arrival, key, stored) : storedAlone(arrival, key, stored))
    })

  return { arrived, isStorable, placeOf, received, refusalOf, renewed, storedNow }
}
