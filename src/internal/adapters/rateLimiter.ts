/**
 * A keyspace as the store of the rate limiter of `@effect/experimental`, with the meaning of its store in memory. Where
 * the scripts for Redis differ: a limit of 0 is one, as there; fractions of milliseconds are kept, and the algorithms
 * have keys of their own, as in memory.
 *
 * Neither of the two forgets a bucket. Here it is forgotten when it is full, so that nothing stays for ever. What is
 * left of a step by then is lost: the next token comes a whole step after tokens are taken again.
 *
 * @internal
 */
import { type RateLimiterStore, RateLimitStoreError } from "@effect/experimental/RateLimiter"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Storage from "../../Storage.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { parseDuration, shown } from "../storage/duration.js"
import { keyOf } from "../store/anyText.js"

/** Tokens, and a time in milliseconds: taken, until the window ends; or left, when they were refilled. */
type State = readonly [tokens: number, time: number]

/** What has no life is not kept. */
const put = ([tokens, time]: State, expiresAt: number, now: number): Storage.Change =>
  expiresAt > now ? Storage.put(`${tokens} ${time}`, expiresAt) : Storage.remove

const parse = (value: Storage.Value): State | undefined => {
  const [tokens = NaN, time = NaN, ...rest] = String(value).split(" ").map(Number)
  return Number.isNaN(tokens) || Number.isNaN(time) || rest.length > 0 ? undefined : [tokens, time]
}

interface Options {
  readonly key: string
  readonly limit: number | undefined
  readonly refillRate: Duration.Duration
  readonly tokens: number
}

/** The milliseconds of a refill; or what is wrong with the options. */
const parseOptions = ({ key, limit, refillRate, tokens }: Options): Either.Either<number, string> =>
  typeof key !== "string"
    ? Either.left(`the key is a string, not ${shown(key)}`)
    : !Number.isFinite(tokens)
    ? Either.left(`tokens is a finite number, not ${shown(tokens)}`)
    : limit !== undefined && (typeof limit !== "number" || Number.isNaN(limit))
    ? Either.left(`the limit is a number, not ${shown(limit)}`)
    : parseDuration(refillRate)

const failing = (cause: StorageError | InvalidKey) => new RateLimitStoreError({ cause, message: cause.message })

const damaged = (keyspace: string, key: string) =>
  new RateLimitStoreError({
    message: `something else is stored at key ${key} in keyspace ${JSON.stringify(keyspace)}; ` +
      "give the rate limiter a keyspace of its own"
  })

/** How long so many tokens take; none take no time, whatever one takes. */
const span = (tokens: number, refill: number): number => tokens === 0 ? 0 : tokens * refill

const makeStore = (keyspace: Storage.Keyspace): Context.Tag.Service<typeof RateLimiterStore> => {
  /** The time is that of the update and not of the call, which may have waited for a lock. */
  const update = <A>(
    algorithm: string,
    options: Options,
    f: (state: State | undefined, now: number, refill: number) => readonly [A, Storage.Change]
  ): Effect.Effect<A, RateLimitStoreError> => {
    const refill = parseOptions(options)
    if (Either.isLeft(refill)) return Effect.fail(new RateLimitStoreError({ message: refill.left }))
    const key = `${algorithm}/${keyOf(options.key)}`
    return Effect.clockWith((clock) =>
      Effect.flatten(Effect.mapError(
        keyspace.modify(key, (entry): readonly [Effect.Effect<A, RateLimitStoreError>, Storage.Change] => {
          const state = Option.isSome(entry) ? parse(entry.value.value) : undefined
          if (Option.isSome(entry) && state === undefined) {
            return [Effect.fail(damaged(keyspace.name, key)), Storage.keep]
          }
          const [answer, change] = f(state, clock.unsafeCurrentTimeMillis(), refill.right)
          return [Effect.succeed(answer), change]
        }),
        failing
      ))
    )
  }
  return {
    fixedWindow: (options) =>
      update("fixed-window", options, (state, now, refill) => {
        const [taken, ends] = state !== undefined && state[1] > now ? state : [0, now]
        const next = taken + options.tokens
        if (options.limit !== undefined && next > options.limit) return [[next, ends - now], Storage.keep]
        const nextEnds = ends + span(options.tokens, refill)
        return [[next, nextEnds - now], put([next, nextEnds], nextEnds, now)]
      }),
    tokenBucket: (options) =>
      update("token-bucket", options, (state, now, refill) => {
        const { limit } = options
        const fullAt = ([tokens, time]: State): number => time + span(limit - tokens, refill)
        const refilled = ([tokens, time]: State): State => {
          const more = Math.max(0, Math.floor((now - time) / refill))
          return [Math.min(limit, tokens + more), time + span(more, refill)]
        }
        const [left, time] = state === undefined || fullAt(state) <= now ? [limit, now] : refilled(state)
        const next = left - options.tokens
        // What is refused need not be written: the same is refilled again.
        if (next < 0 && !options.allowOverflow) return [next, Storage.keep]
        return [next, put([next, time], fullAt([next, time]), now)]
      })
  }
}

/** @internal */
export const makeRateLimiter = (
  { keyspace = "ratelimiter" }: { readonly keyspace?: string | undefined } = {}
): Effect.Effect<Context.Tag.Service<typeof RateLimiterStore>, StorageError, Storage.Storage> =>
  Effect.map(Effect.flatMap(Storage.Storage, (storage) => storage.keyspace(keyspace)), makeStore)
