/**
 * The methods that a `TtlStore` has beside those of a `KeyValueStore`.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Codec from "../../Codec.js"
import type { Failure, KeyValueStore } from "../../KeyValueStore.js"
import * as Storage from "../../Storage.js"
import { type InvalidKey, StorageError } from "../../StorageError.js"
import type { Condition, Options, Plain, Ttl as AnyTtl, TtlStore } from "../../TtlStore.js"
import { withNow } from "../storage/compat.js"
import { parseDuration, shown } from "../storage/duration.js"
import { sweep } from "../storage/sweep.js"
import { provided } from "./codecs.js"
import { after, at, never, parseExpiry, parseTime, type Rule } from "./expiry.js"
import { Flights } from "./flights.js"
import { makeCommon } from "./keyValueStore.js"
import { keep, makeView, openParts, openPlain, type Parts, touch, within, withinTyped } from "./view.js"

/** The parts of a `TtlStore`. All views of a store share its flights, as their values are of one type. */
interface TtlParts<K, A> extends Parts<K, A> {
  readonly flights: Flights<A>
}

type Own = Exclude<keyof TtlStore<string, unknown>, keyof KeyValueStore<string, unknown>>

/** Which entries meet a condition, by their expiry and the one that they would have; `Infinity` for none. */
const conditions: Record<Condition, (before: number, next: number) => boolean> = {
  persistent: (before) => before === Infinity,
  expiring: (before) => before !== Infinity,
  later: (before, next) => next > before,
  earlier: (before, next) => next < before
}

const checked = (onlyIf: Condition | undefined) => (rule: Rule): Either.Either<Rule, string> =>
  onlyIf === undefined || Object.hasOwn(conditions, onlyIf)
    ? Either.right(rule)
    : Either.left(`${shown(onlyIf)} is no condition; give one of ${Object.keys(conditions).map(shown).join(", ")}`)

const makeStore = <K, A>(parts: TtlParts<K, A>): TtlStore<K, A> => {
  const { flights, keyspace, lifetime } = parts
  const { name } = keyspace
  const view = makeView(parts)
  const { withKey } = view
  const common = makeCommon(parts, view)

  /** Gives the entry another expiry, `Infinity` for none, unless `next` has none for it; tells whether it has one. */
  const reschedule = (
    key: string,
    next: (before: number) => number | undefined
  ): Effect.Effect<boolean, StorageError | InvalidKey> =>
    keyspace.modify(key, (entry) => {
      if (Option.isNone(entry)) return [false, Storage.keep]
      const before = entry.value.expiresAt ?? Infinity
      const expiresAt = next(before)
      if (expiresAt === undefined) return [false, Storage.keep]
      return [true, expiresAt === before ? Storage.keep : Storage.put(entry.value.value, expiresAt)]
    })

  const expire = (method: string, key: K, expiry: Either.Either<Rule, string>, onlyIf: Condition | undefined) =>
    withKey(key, (key) =>
      view.parsed(method, key, Either.flatMap(expiry, checked(onlyIf)), (rule) =>
        withNow((now) => {
          const next = rule.at(now)
          return reschedule(
            key,
            (before) => onlyIf === undefined || conditions[onlyIf](before, next) ? next : undefined
          )
        })))

  /** What becomes of an entry's expiry when it is touched. */
  const toNext = (
    timeToLive: Duration.DurationInput | undefined
  ): Either.Either<(before: number, now: number) => number, string> =>
    timeToLive !== undefined
      ? Either.map(parseDuration(timeToLive), (millis) => (_, now) => now + millis)
      : Either.right((before, now) => lifetime === never ? before : Math.max(before, lifetime.at(now)))
  const touching = <B>(
    method: string,
    key: K,
    timeToLive: Duration.DurationInput | undefined,
    use: (key: string, next: (before: number) => number) => Effect.Effect<B, Failure>
  ): Effect.Effect<B, Failure> =>
    withKey(
      key,
      (key) =>
        view.parsed(
          method,
          key,
          toNext(timeToLive),
          (next) => withNow((now) => use(key, (before) => next(before, now)))
        )
    )

  const own: Pick<TtlStore<K, A>, Own> = {
    expire: (key, timeToLive, options) =>
      expire("expire", key, Either.map(parseDuration(timeToLive), after), options?.onlyIf),
    expireAt: (key, time, options) => expire("expireAt", key, Either.map(parseTime(time), at), options?.onlyIf),
    extend: (key, by) =>
      withKey(
        key,
        (key) => view.parsed("extend", key, parseDuration(by), (millis) => reschedule(key, (before) => before + millis))
      ),
    getAndTouch: (key, timeToLive) =>
      touching("getAndTouch", key, timeToLive, (key, next) =>
        view.edit(key, (current, live) => [
          current,
          live === undefined ? keep : touch(next(live.expiresAt ?? Infinity))
        ])),
    getOrSet: (key, value, expiry) => {
      const orElse = <E, R>(compute: Effect.Effect<A, E, R>) =>
        Effect.flatMap(
          common.get(key),
          (found): Effect.Effect<A, E, R> => Option.isSome(found) ? Effect.succeed(found.value) : compute
        )
      const compute = Effect.flatMap(value, (value) => common.getOrInsert(key, () => value, expiry))
      // What is wrong with the expiry is to be known before anything is computed.
      return withKey(key, (key) =>
        view.parsed("getOrSet", key, parseExpiry(expiry, lifetime, lifetime), () => {
          const { landed } = flights
          // A flight that landed between the miss and the start of this one may have brought it.
          const fly = Effect.suspend(() => flights.landed === landed ? compute : orElse(compute))
          return orElse(flights.join(key, fly, () => Effect.fail(waitsForItself(name, key))))
        }))
    },
    persist: (key) => withKey(key, (key) => reschedule(key, () => Infinity)),
    sweep: sweep(keyspace),
    touch: (key, timeToLive) => touching("touch", key, timeToLive, reschedule),
    ttl: (key) =>
      withKey(
        key,
        (key) => Effect.flatMap(keyspace.head(key), (entry) => withNow((now) => Effect.succeed(ttlOf(entry, now))))
      )
  }

  function prefix(more: string): TtlStore<string, A>
  function prefix<Rest, I extends string>(
    more: string,
    options: { readonly key: Schema.Schema<Rest, I> }
  ): TtlStore<Rest, A>
  function prefix<Rest, I extends string>(more: string, options?: { readonly key: Schema.Schema<Rest, I> }) {
    return options === undefined
      ? makeStore({ ...within(parts, more), flights })
      : makeStore({ ...withinTyped(parts, more, options.key), flights })
  }
  return { ...common, ...own, prefix }
}

const waitsForItself = (keyspace: string, key: string) =>
  new StorageError({
    detail: "its effect asks, perhaps through other keys, for the same key, and would wait for itself; " +
      "compute without asking for it",
    key,
    keyspace,
    method: "getOrSet",
    reason: "Busy"
  })

/** @internal */
export const Ttl = Data.taggedEnum<AnyTtl>()

const ttlOf = (entry: Option.Option<Pick<Storage.Entry, "expiresAt">>, now: number): AnyTtl => {
  if (Option.isNone(entry)) return Ttl.Missing()
  const { expiresAt } = entry.value
  if (expiresAt === undefined) return Ttl.Persistent()
  return expiresAt <= now
    ? Ttl.Missing()
    : Ttl.Remaining({ expiresAt, timeToLive: Duration.millis(expiresAt - now) })
}

const lifetimeOf = (
  keyspace: string,
  timeToLive: Duration.DurationInput | undefined
): Effect.Effect<Rule, StorageError> =>
  timeToLive === undefined ? Effect.succeed(never) : Either.match(parseDuration(timeToLive), {
    onLeft: (detail) => Effect.fail(new StorageError({ detail, keyspace, method: "open", reason: "InvalidValue" })),
    onRight: (millis) => Effect.succeed(after(millis))
  })

/** @internal */
export const make = <A, I, R, K, IK extends string, KR>(
  options: Options<A, I, R, K, IK, KR>
): Effect.Effect<TtlStore<K, A>, StorageError, Storage.Storage | R | KR> =>
  lifetimeOf(options.keyspace, options.timeToLive).pipe(
    Effect.flatMap((lifetime) => openParts(options, lifetime)),
    Effect.map((parts) => makeStore({ ...parts, flights: new Flights<A>() }))
  )

const plain = (parts: TtlParts<string, Storage.Value>): Plain => {
  function prefix(more: string): Plain
  function prefix<Rest, I extends string>(
    more: string,
    options: { readonly key: Schema.Schema<Rest, I> }
  ): TtlStore<Rest, Storage.Value>
  function prefix<Rest, I extends string>(more: string, options?: { readonly key: Schema.Schema<Rest, I> }) {
    return options === undefined
      ? plain({ ...within(parts, more), flights: parts.flights })
      : makeStore({ ...withinTyped(parts, more, options.key), flights: parts.flights })
  }
  return {
    ...makeStore(parts),
    forSchema: <A, I>(schema: Schema.Schema<A, I>) =>
      makeStore({ ...parts, codec: provided(Codec.json(schema), Context.empty()), flights: new Flights<A>() }),
    prefix
  }
}

/** @internal */
export const makePlain = (
  { keyspace = "ttl", timeToLive }: {
    readonly keyspace?: string | undefined
    readonly timeToLive?: Duration.DurationInput | undefined
  }
): Effect.Effect<Plain, StorageError, Storage.Storage> =>
  lifetimeOf(keyspace, timeToLive).pipe(
    Effect.flatMap((lifetime) => openPlain(keyspace, lifetime)),
    Effect.map((parts) => plain({ ...parts, flights: new Flights<Storage.Value>() }))
  )
