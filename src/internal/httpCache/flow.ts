/**
 * What becomes of a request: it is answered by what is stored, or by the origin, or by both; and what the origin says is
 * stored, or makes what is stored current or invalid.
 *
 * @internal
 */
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as HttpCache from "../../HttpCache.js"
import type { NewResponse, StoredResponse } from "../../HttpCacheStore.js"
import { isTraced, waitFor, withNow } from "../storage/compat.js"
import { inTransaction, outsideTransactions } from "../storage/transactions.js"
import { makeAnswers } from "./answers.js"
import { behind, lengthOf, makeArrivals } from "./arrivals.js"
import { ask, type Asked, isKeyable } from "./asked.js"
import { standsIn } from "./evaluate.js"
import type { Fetch } from "./fetches.js"
import { ageOf, explicitLifetime, lifetimeOf } from "./freshness.js"
import { makeInvalidation } from "./invalidation.js"
import { makeLookup, nothingFound } from "./lookup.js"
import type { Arrival, Execute, Failure, Found, Live, Parts, Trouble, Why } from "./parts.js"
import { bodyOf, finish, isDecoded } from "./response.js"
import { CurrentOptions } from "./settings.js"
import { conditions, hasConditions, isForOrigin, namesTag, strongEquals, validated } from "./validators.js"
import { selectingValues } from "./vary.js"

/** A client that fails for what is not 2xx has received an answer all the same. */
const notModified = <E>(error: E): Effect.Effect<Live, E> =>
  HttpClientError.isHttpClientError(error) && error._tag === "ResponseError" && error.response.status === 304
    ? Effect.succeed(error.response)
    : Effect.fail(error)

const currentMillis = withNow(Effect.succeed)

/** How often a request that finds what it has found gone looks again. */
const mostLooks = 3

/** How the origin has failed, if it is a way in which something stale may stand in. */
const failureOf = (error: unknown): "error" | "disconnected" | undefined => {
  if (Cause.isTimeoutException(error)) return "disconnected"
  if (!HttpClientError.isHttpClientError(error)) return undefined
  if (error._tag === "RequestError") return error.reason === "Transport" ? "disconnected" : undefined
  return error.reason === "StatusCode" && error.response.status >= 500 ? "error" : undefined
}

/** What is not read is not received any further. That takes a reader, who leaves at once. */
const discard = (response: Live): Effect.Effect<void> =>
  Effect.asVoid(Effect.forkDaemon(
    Effect.raceFirst(Effect.ignore(Stream.runDrain(Stream.take(response.stream, 1))), waitFor(100))
  ))

/** The same for the response that a client fails by. */
const discardOf = (error: unknown): Effect.Effect<void> =>
  HttpClientError.isHttpClientError(error) && error._tag === "ResponseError" ? discard(error.response) : Effect.void

/** What may be asked about when a request is forwarded: whole responses to its method. */
const validatable = (asked: Asked, { all }: Found): ReadonlyArray<StoredResponse> =>
  all.filter(({ method, range }) => method === asked.method && range === undefined)

/** How old a stored response is, and how long it is fresh. */
const agedAt = (now: number, { applied: { policy } }: Asked, stored: StoredResponse) => ({
  age: ageOf(stored, now),
  lifetime: lifetimeOf(stored, policy)
})

/** What other caches on the way have to know of the mode: the Fetch standard, section 4.6. */
const endToEnd = ({ headers, mode }: Asked): Readonly<Record<string, string>> =>
  headers["cache-control"] !== undefined
    ? {}
    : mode === "no-cache"
    ? { "cache-control": "max-age=0" }
    : mode === "reload"
    ? { "cache-control": "no-cache", pragma: "no-cache" }
    : {}

/** A fetch ends, whatever becomes of it. */
const orAbandoned = <A, E, R>(fetch: Fetch, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onError(self, () => Effect.sync(() => fetch.end("abandoned")))

/** @internal */
export const makeFlow = (parts: Parts) => {
  const { count, fetches, options, scope, settings, store, tell, tolerate, tolerated } = parts
  const answers = makeAnswers(parts)
  const { fromOrigin, missed, serve } = answers
  const { look } = makeLookup(parts)
  const { arrived, isStorable, placeOf, received, refusalOf, renewed, storedNow } = makeArrivals(parts, answers)
  const { deleteTag, invalidate, invalidatedBy } = makeInvalidation(parts)

  /** The origin says that what is stored is current. Undefined if it is not about what is stored, or that is gone. */
  const revalidated = (arrival: Arrival): Effect.Effect<Live | undefined> => {
    const { asked, canStore, fetch, found, requestTime, response, responseTime, why } = arrival
    const own = validatable(asked, found)
    const target = validated(asked.headers, response.headers, found.selected, own.length > 0 ? own : found.all)
    if (target === undefined) return Effect.succeed(undefined)
    const update = received(asked, response, requestTime, responseTime)
    const current = renewed(asked, target, update)
    const { etag } = response.headers
    const renew = (stored: StoredResponse): StoredResponse =>
      stored.id === target.id
        ? renewed(asked, stored, update)
        : etag !== undefined && stored.headers["etag"] !== undefined && strongEquals(stored.headers["etag"], etag)
        ? { ...renewed(asked, stored, update), vary: stored.vary }
        : stored
    const stored = isStorable(asked, current)
      ? tolerated(store.update(found.key, (all) => all.map(renew)), undefined)
      : Effect.void
    if (asked.isBackground) count.revalidations(1)
    return Effect.zipRight(
      // In a transaction it is a part of that.
      canStore ? behind(fetch, stored) : stored,
      asked.isBackground ? Effect.succeed(response) : withNow((now) =>
        serve(
          asked,
          found.key,
          current,
          agedAt(now, asked, current),
          "revalidated",
          why
        )
      )
    )
  }

  /** Asks the origin; with conditions, if something is stored. */
  const forward = <E, R>(
    asked: Asked,
    found: Found,
    execute: Execute<E, R>,
    why: Why,
    fetch: Fetch,
    canStore: boolean
  ): Effect.Effect<Live, E, R> =>
    Effect.gen(function*() {
      const mayAsk = asked.mode !== "reload" && asked.method !== "HEAD"
      const own = validatable(asked, found)
      const asking = mayAsk ? conditions(asked.headers, found.selected, own) : undefined
      const request = HttpClientRequest.setHeaders(asked.request, { ...endToEnd(asked), ...asking })
      const requestTime = yield* currentMillis
      const exit = yield* Effect.exit(Effect.catchAll(execute(request), notModified))
      const responseTime = yield* currentMillis
      const { selected } = found
      const stale = (failure: "error" | "disconnected" | undefined) =>
        selected === undefined || failure === undefined || asked.isBackground || asked.mode === "reload" ||
          asked.mode === "no-cache" ||
          !standsIn(asked.directives, selected, responseTime, asked.applied.policy, failure)
          ? Effect.succeed(undefined)
          : serve(
            asked,
            found.key,
            selected,
            agedAt(responseTime, asked, selected),
            "stale",
            { ...why, detail: `origin-${failure}` }
          )
      if (Exit.isFailure(exit)) {
        const error = Cause.failureOption(exit.cause)
        const standing = Option.isSome(error) && !Cause.isInterrupted(exit.cause)
          ? yield* stale(failureOf(error.value))
          : undefined
        fetch.end(Cause.isInterruptedOnly(exit.cause) ? "abandoned" : "unshared")
        if (standing === undefined) return yield* Effect.failCause(exit.cause)
        if (Option.isSome(error)) yield* discardOf(error.value)
        return standing
      }
      const response = exit.value
      const arrival: Arrival = { asked, canStore, fetch, found, requestTime, response, responseTime, why }
      if (response.status === 304 && asking !== undefined) {
        finish(response)
        const current = yield* revalidated(arrival)
        if (current !== undefined) {
          if (!canStore) fetch.end("stored")
          return current
        }
        const { etag } = response.headers
        const isForClient = etag !== undefined && namesTag(asked.headers["if-none-match"], etag)
        // Not about what the client has, as far as it is known: ask as the client does.
        if (!isForClient) {
          fetch.end("unshared")
          const nothing = { ...found, all: [], selected: undefined }
          return yield* fetching(asked, undefined, (again) => forward(asked, nothing, execute, why, again, canStore))
        }
      }
      if (response.status >= 500) {
        const standing = yield* stale("error")
        if (standing !== undefined) {
          fetch.end("unshared")
          yield* discard(response)
          return standing
        }
      }
      return yield* arrived(arrival)
    })

  const whyOf = (
    asked: Asked,
    { all, decision, selected }: Found,
    collapsed: boolean | undefined
  ): Why => {
    if (decision?._tag === "Revalidate") {
      return {
        collapsed,
        detail: decision.reason,
        forwarded: decision.reason.startsWith("request") ? "request" : "stale"
      }
    }
    const hasOther = all.some((stored) => stored.range === undefined)
    return {
      collapsed,
      detail: undefined,
      forwarded: asked.mode === "reload"
        ? "request"
        : all.length === 0
        ? "uri-miss"
        : selected === undefined && hasOther
        ? "vary-miss"
        : "partial"
    }
  }

  /** A fetch that goes on as long as an effect. */
  const fetching = <E, R>(
    asked: Asked,
    sharedAs: string | undefined,
    use: (fetch: Fetch) => Effect.Effect<Live, E, R>
  ): Effect.Effect<Live, E, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const fetch = fetches.begin(asked.key, asked.normal, asked.applied.tags, sharedAs)
        return orAbandoned(fetch, restore(use(fetch)))
      })
    )

  /** Validates in the background what is used stale meanwhile. */
  const validating = <E, R>(asked: Asked, found: Found, execute: Execute<E, R>): Effect.Effect<void, never, R> =>
    Effect.suspend(() => {
      const name = sharedAs(asked, found)
      if (fetches.of(name) !== undefined) return Effect.void
      const fetch = fetches.begin(asked.key, asked.normal, asked.applied.tags, name)
      // For itself: what the client has of it, or wants of it, does not matter.
      const headers = Object.fromEntries(
        Object.entries(asked.headers).filter(([name]) => !name.startsWith("if-") && name !== "range")
      )
      const request = asked.method === "GET" ? HttpClientRequest.get(asked.url.href, { headers }) : asked.request
      const plain = { ...asked, headers, isBackground: true, request }
      const why: Why = { collapsed: undefined, detail: "stale-while-revalidate", forwarded: "stale" }
      const failed = (cause: unknown): void => tell({ _tag: "RevalidationFailed", cause, url: asked.normal })
      return orAbandoned(fetch, Effect.interruptible(forward(plain, found, execute, why, fetch, true))).pipe(
        Effect.flatMap((response) => {
          if (response.status >= 500) {
            failed(new HttpClientError.ResponseError({ reason: "StatusCode", request, response }))
          }
          return response.status === 304 ? Effect.void : Effect.interruptible(Stream.runDrain(bodyOf(response)))
        }),
        Effect.catchAllCause((cause) =>
          Effect.sync(() => {
            if (!Cause.isInterruptedOnly(cause)) failed(Cause.squash(cause))
          })
        ),
        outsideTransactions,
        Effect.forkIn(scope),
        Effect.asVoid
      )
    }).pipe(Effect.uninterruptible)

  /** By which name others who ask for the same know what is asked for: the key, and what it is known to vary by. */
  const sharedAs = (asked: Asked, { all, key }: Found): string => {
    const varies = [...new Set(all.flatMap(({ headers }) => headers["vary"] ?? []))]
    return JSON.stringify([
      asked.method,
      key,
      varies.map((vary) => selectingValues(asked.headers, vary, asked.applied.policy))
    ])
  }

  /** Answers from what is stored, or asks the origin. */
  const answer = <E, R>(
    asked: Asked,
    execute: Execute<E, R>,
    isAlone: boolean,
    waited: Set<string> = new Set(),
    without: ReadonlySet<string> = new Set()
  ): Effect.Effect<Live, E | Failure, R> =>
    Effect.flatMap(
      Effect.either(asked.mode === "reload" ? lookNowhere(asked) : look(asked, without)),
      (looked): Effect.Effect<Live, E | Failure, R> => {
        if (Either.isLeft(looked)) {
          const passed: Effect.Effect<Live, E | Failure, R> = onlyCached(asked)
            ? missed(asked, nothingFound(asked))
            : around(asked, execute, "bypass", false)
          return tolerate(looked.left, passed)
        }
        const found = looked.right
        const hasWaited = waited.size > 0
        const { decision, key, selected } = found
        if (decision !== undefined && selected !== undefined && decision._tag !== "Revalidate") {
          const isStale = decision._tag === "Stale"
          const meanwhile = isStale && decision.reason === "stale-while-revalidate" && !isAlone && !onlyCached(asked)
            ? validating(asked, found, execute)
            : Effect.void
          const detail = isStale ? decision.reason : decision.lifetime.source
          return Effect.zipRight(
            meanwhile,
            Effect.flatMap(
              serve(asked, key, selected, decision, isStale ? "stale" : "hit", {
                collapsed: hasWaited ? true : undefined,
                detail,
                forwarded: undefined
              }),
              (served) => {
                if (served !== undefined) return Effect.succeed(served)
                const others = new Set([...without, selected.id])
                return others.size < mostLooks
                  ? answer(asked, execute, isAlone, waited, others)
                  : onlyCached(asked)
                  ? missed(asked, nothingFound(asked))
                  : execute(asked.request)
              }
            )
          )
        }
        if (onlyCached(asked)) return missed(asked, found)
        const why = whyOf(asked, found, hasWaited ? false : undefined)
        const isShareable = options.singleFlight !== false && !isAlone && asked.method === "GET" &&
          asked.mode === "default" && asked.headers["range"] === undefined && !hasConditions(asked.headers) &&
          !asked.directives.noStore && !asked.directives.noCache
        const name = isShareable ? sharedAs(asked, found) : undefined
        const isAgain = name !== undefined && waited.has(name)
        return Effect.suspend(() => {
          const other = name === undefined || isAgain ? undefined : fetches.of(name)
          return other === undefined
            ? fetching(
              asked,
              isAgain ? undefined : name,
              (fetch) => forward(asked, found, execute, why, fetch, !isAlone)
            )
            : Effect.flatMap(other.outcomeForOthers, (outcome) =>
              // Who has come to no end may be waited for again, in another one's place.
              answer(
                asked,
                execute,
                isAlone,
                outcome === "abandoned" || name === undefined ? waited : waited.add(name)
              ))
        })
      }
    )

  const lookNowhere = (asked: Asked): Effect.Effect<Found, Trouble> => Effect.succeed(nothingFound(asked))
  const onlyCached = ({ directives, mode }: Asked): boolean => directives.onlyIfCached || mode === "only-if-cached"

  /** The response to a POST may be what a GET of the same URL would have: RFC 9110 section 9.3.3. */
  const asIfGot = (asked: Asked, response: Live): Asked | undefined => {
    const location = response.headers["content-location"]
    const isSame = asked.method === "POST" && response.status === 200 && location !== undefined &&
      URL.canParse(location, asked.url.href) && new URL(location, asked.url).href === asked.url.href
    if (!isSame) return undefined
    const { headers } = asked
    const got = ask(
      HttpClientRequest.get(asked.url.href, { headers }),
      {},
      settings,
      options.partition?.(asked.request)
    )
    return Either.isRight(got) ? { ...got.right, applied: asked.applied, request: asked.request } : undefined
  }

  /** A request that goes by what is stored. */
  const around = <E, R>(
    asked: Asked,
    execute: Execute<E, R>,
    forwarded: "bypass" | "method",
    canStore: boolean
  ): Effect.Effect<Live, E, R> =>
    Effect.gen(function*() {
      const requestTime = yield* currentMillis
      const response = yield* execute(asked.request)
      const responseTime = yield* currentMillis
      yield* invalidatedBy(asked, response)
      const why: Why = { collapsed: undefined, detail: undefined, forwarded }
      const got = canStore ? asIfGot(asked, response) : undefined
      return got === undefined || isSilent(got, received(got, response, requestTime, responseTime))
        ? yield* fromOrigin(asked, response, why, false)
        : yield* fetching(got, undefined, (fetch) =>
          arrived({
            asked: got,
            canStore: true,
            fetch,
            found: nothingFound(got),
            requestTime,
            response,
            responseTime,
            why
          }))
    })
  const isSilent = ({ applied: { policy } }: Asked, stored: NewResponse): boolean =>
    explicitLifetime(stored, policy) === undefined

  /** Stores a response as if it had come from the origin; tells whether it was. */
  const put = (asked: Asked, response: Live) =>
    Effect.gen(function*() {
      const now = yield* currentMillis
      const stored = received(asked, response, now, now)
      const refusal = yield* refusalOf(asked, response, stored)
      if (refusal !== undefined) return false
      const { all } = yield* look(asked, new Set())
      const key = yield* placeOf(asked, { ...nothingFound(asked), all }, stored)
      const length = isDecoded(response) ? undefined : lengthOf(response.headers["content-length"])
      const fetch = fetches.begin(key, asked.normal, stored.tags, undefined)
      let bytes = 0
      const body = Stream.tap(bodyOf(response), (piece) =>
        Effect.sync(() => {
          bytes += piece.byteLength
        }))
      const isWanted = () => !fetch.isCancelled && (length === undefined || length === bytes)
      const written = yield* Effect.ensuring(
        store.write(key, stored, body, { isWanted }),
        Effect.sync(() => fetch.end("stored"))
      )
      if (Option.isNone(written)) return false
      storedNow(asked, key, bytes)
      return true
    })

  const asking = (
    request: HttpClientRequest.HttpClientRequest,
    own: HttpCache.RequestOptions
  ): Either.Either<Asked, string | undefined> => ask(request, own, settings, options.partition?.(request))

  const handle = <E, R>(
    request: HttpClientRequest.HttpClientRequest,
    execute: Execute<E, R>
  ): Effect.Effect<Live, E | Failure, R> =>
    Effect.withFiberRuntime((fiber) =>
      isTraced(fiber)
        ? Effect.withSpan(handled(request, execute, fiber.currentContext), `HttpCache ${request.method}`, {
          captureStackTrace: false
        })
        : handled(request, execute, fiber.currentContext)
    )

  const handled = <E, R>(
    request: HttpClientRequest.HttpClientRequest,
    execute: Execute<E, R>,
    context: Context.Context<never>
  ): Effect.Effect<Live, E | Failure, R> =>
    Effect.suspend(() => {
      const made = asking(request, Context.get(context, CurrentOptions))
      if (Either.isLeft(made)) {
        return made.left === undefined
          ? execute(request)
          : Effect.fail(
            new HttpClientError.RequestError({
              description: `the options of HttpCache for it are not valid: ${made.left}`,
              reason: "Encode",
              request
            })
          )
      }
      const asked = made.right
      const isAlone = inTransaction(context)
      const isKept = asked.mode !== "no-store" && !asked.directives.noStore && asked.applied.isCached &&
        !isForOrigin(asked.headers)
      const isCached = settings.methods.has(asked.method) && isKeyable(request)
      const online: Effect.Effect<Live, E | Failure, R> = !isKept
        ? around(asked, execute, "bypass", false)
        : !isCached
        ? around(asked, execute, "method", !isAlone)
        : answer(asked, execute, isAlone)
      const { offline } = options
      if (offline === undefined || offline === false) return online
      const cached = isKept && isCached
        ? answer({ ...asked, mode: "only-if-cached" }, execute, isAlone)
        : missed(asked, nothingFound(asked))
      return offline === true ? cached : Effect.flatMap(offline, (isOffline) => isOffline ? cached : online)
    })

  return { asking, deleteTag, handle, invalidate, look, put, serve }
}
