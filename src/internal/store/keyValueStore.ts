/**
 * The methods of a `KeyValueStore`, over a view. Whatever writes takes an expiry, which only `TtlStore` offers.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Codec from "../../Codec.js"
import type { Failure, KeyValueStore, Options, Plain } from "../../KeyValueStore.js"
import * as Storage from "../../Storage.js"
import { CounterError, KeyNotFound, type StorageError } from "../../StorageError.js"
import type { Expiry, TtlStore } from "../../TtlStore.js"
import { andThen, forEach } from "../done.js"
import { withNow } from "../storage/compat.js"
import { provided } from "./codecs.js"
import { keeping, never, parseExpiry } from "./expiry.js"
import {
  type ExpiryOf,
  keep,
  makeView,
  openParts,
  openPlain,
  type Parts,
  put,
  remove,
  type View,
  within,
  withinTyped
} from "./view.js"

/**
 * What both kinds of store have.
 *
 * @internal
 */
export type Common<K, A> = Pick<TtlStore<K, A>, Exclude<keyof KeyValueStore<K, A>, "prefix">>

const minInt64 = -(2n ** 63n)
const maxInt64 = 2n ** 63n - 1n

const sum = (a: number | bigint, b: number | bigint): number | bigint | CounterError["reason"] => {
  if (typeof a === "bigint" && typeof b === "bigint") {
    const total = a + b
    return total < minInt64 || total > maxInt64 ? "Overflow" : total
  }
  if (typeof a === "bigint" || typeof b === "bigint") return "Mixed"
  const total = a + b
  if (!Number.isFinite(total)) return "NotFinite"
  return Number.isSafeInteger(a) && Number.isSafeInteger(b) && !Number.isSafeInteger(total) ? "Overflow" : total
}

const concat = (a: Storage.Value, b: Storage.Value): Storage.Value =>
  typeof a === "string" && typeof b === "string" ? a + b : Buffer.concat([Buffer.from(a), Buffer.from(b)])

/** @internal */
export const makeCommon = <K, A>(parts: Parts<K, A>, view: View<K, A>): Common<K, A> => {
  const { codec, keyspace, lifetime, missOnFailure, prefix, storage } = parts
  const { name } = keyspace
  const { decode, decodeEntry, decodeKey, decodeOption, edit, encode, expiring, storedKeys, withKey, withRange } = view
  /** What changes a value keeps its expiry. */
  const lasting = keeping(lifetime)

  const read = (key: string) => Effect.flatMap(keyspace.get(key), decodeOption)

  /** Writes if there is a value, or if there is none. What is there is decoded only to see whether it is a miss. */
  const write = (
    method: string,
    key: K,
    value: A,
    expiry: Expiry | undefined,
    when: (found: boolean) => boolean
  ): Effect.Effect<boolean, Failure> =>
    withKey(key, (key) =>
      expiring(method, key, expiry, lifetime, (expiryOf) =>
        missOnFailure
          ? edit(key, (current, live) =>
            when(Option.isSome(current)) ? [true, put(value, expiryOf(live))] : [false, keep])
          : andThen(encode(key, value), (stored) =>
            keyspace.modify(key, (entry) =>
              when(Option.isSome(entry))
                ? [true, Storage.put(stored, expiryOf(Option.getOrUndefined(entry)))]
                : [false, Storage.keep]))))

  /** As `expiring`, for what changes the value of a key. */
  const changing = <B>(
    method: string,
    key: K,
    expiry: Expiry | undefined,
    change: (key: string, expiryOf: ExpiryOf) => Effect.Effect<B, Failure>
  ): Effect.Effect<B, Failure> =>
    withKey(key, (key) => expiring(method, key, expiry, lasting, (expiryOf) => change(key, expiryOf)))

  /** Sets many, of which those that are to keep the expiry of what is there take it over. */
  const keepingExpiry = (entries: ReadonlyArray<Storage.Entry & { readonly keeps: boolean }>) => {
    const kept = entries.filter(({ keeps }) => keeps).map(({ key }) => key)
    return storage.transaction(
      Effect.flatMap(keyspace.getMany(kept), (found) => {
        const live = new Map(found.flatMap(Option.toArray).map((entry) => [entry.key, entry.expiresAt]))
        return keyspace.setMany(
          entries.map((entry) =>
            entry.keeps && live.has(entry.key)
              ? { ...entry, expiresAt: live.get(entry.key) }
              : entry
          )
        )
      }),
      { retry: true }
    )
  }

  // For methods whose `this` says what the values are.
  const editAny = edit as View<K, unknown>["edit"]

  const store: Common<K, A> = {
    get: (key) => withKey(key, read),
    getOrFail: (key) =>
      withKey(
        key,
        (key) =>
          Effect.flatMap(read(key), (value): Effect.Effect<A, KeyNotFound> =>
            Option.isSome(value) ? Effect.succeed(value.value) : Effect.fail(new KeyNotFound({ key, keyspace: name })))
      ),
    getMany: (keys) =>
      andThen(
        storedKeys(keys),
        (keys) => Effect.flatMap(keyspace.getMany(keys), (entries) => forEach(entries, decodeOption))
      ),
    getManyMap: (keys) => {
      const asked = Array.from(keys)
      return Effect.map(store.getMany(asked), (values) => {
        const found = new Map<K, A>()
        asked.forEach((key, i) => {
          const value = values[i]
          if (value !== undefined && Option.isSome(value)) found.set(key, value.value)
        })
        return found
      })
    },
    has: (key) => withKey(key, (key) => Effect.map(keyspace.head(key), Option.isSome)),
    set: (key, value, expiry) =>
      expiry?.keep === true
        ? Effect.asVoid(write("set", key, value, expiry, () => true))
        : withKey(key, (key) =>
          expiring("set", key, expiry, lifetime, (expiryOf) =>
            andThen(encode(key, value), (stored) =>
              keyspace.set(key, stored, expiryOf(undefined))))),
    setMany: (entries, expiry) =>
      withNow((now) => {
        const shared = parseExpiry(expiry, lifetime, lifetime)
        return andThen(
          forEach(entries, ([key, value, own]) =>
            withKey(key, (key) => {
              const rule = own === undefined || own === null ? shared : parseExpiry(own, lifetime, lifetime)
              return view.parsed("setMany", key, rule, ({ at, keeps }) =>
                andThen(encode(key, value), (value) => Exit.succeed({ expiresAt: at(now), keeps, key, value })))
            })),
          (entries) => entries.some(({ keeps }) => keeps) ? keepingExpiry(entries) : keyspace.setMany(entries)
        )
      }),
    insert: (key, value, expiry) => write("insert", key, value, expiry, (found) => !found),
    replace: (key, value, expiry) => write("replace", key, value, expiry, (found) => found),
    getOrInsert: (key, value, expiry) =>
      withKey(key, (key) =>
        expiring("getOrInsert", key, expiry, lifetime, (expiryOf) =>
          edit(key, (current) => {
            if (Option.isSome(current)) return [current.value, keep]
            const inserted = value()
            return [inserted, put(inserted, expiryOf(undefined))]
          }))),
    update: (key, f, expiry) =>
      changing("update", key, expiry, (key, expiryOf) =>
        edit(key, (current, live) => {
          if (Option.isNone(current)) return [current, keep]
          const next = f(current.value)
          return [Option.some(next), put(next, expiryOf(live))]
        })),
    modify: (key, f, expiry) =>
      changing("modify", key, expiry, (key, expiryOf) =>
        edit(key, (current, live) => {
          const [answer, next] = f(current)
          return [
            answer,
            Option.isSome(next) ? put(next.value, expiryOf(live)) : Option.isSome(current) ? remove : keep
          ]
        })),
    compareAndSet: (key, expected, next, expiry) => {
      const same = Option.getEquivalence(codec.equivalence)
      return changing(
        "compareAndSet",
        key,
        expiry,
        (key, expiryOf) =>
          edit(key, (current, live) =>
            same(current, expected)
              ? [true, Option.isSome(next) ? put(next.value, expiryOf(live)) : remove]
              : [false, keep])
      )
    },
    swap: (key, value, expiry) =>
      withKey(
        key,
        (key) =>
          expiring("swap", key, expiry, lifetime, (expiryOf) =>
            edit(key, (current, live) => [current, put(value, expiryOf(live))]))
      ),
    take: (key) => withKey(key, (key) => edit(key, (current) => [current, remove])),
    remove: (key) => withKey(key, keyspace.remove),
    removeMany: (keys) => andThen(storedKeys(keys), keyspace.removeMany),
    rename: (from, to, options) =>
      withKey(from, (from) => withKey(to, (to) => view.rename(from, to, options?.overwrite === true))),
    increment<N extends number | bigint>(this: KeyValueStore<K, N>, key: K, by: N, expiry?: Expiry) {
      return Effect.flatten(
        changing(
          "increment",
          key,
          expiry,
          (stored, expiryOf) =>
            editAny(stored, (current, live): readonly [Exit.Exit<N, CounterError>, ReturnType<typeof put>] => {
              const now = Option.getOrElse(current, () => typeof by === "bigint" ? 0n : 0) as N
              const total = sum(now, by)
              return typeof total === "string"
                ? [Exit.fail(new CounterError({ by, current: now, key: stored, keyspace: name, reason: total })), keep]
                // The sum of two of a kind is of that kind.
                : [Exit.succeed(total as N), put(total, expiryOf(live))]
            })
        )
      )
    },
    append<V extends Storage.Value>(this: KeyValueStore<K, V>, key: K, value: V, expiry?: Expiry) {
      return changing("append", key, expiry, (stored, expiryOf) =>
        editAny(stored, (current, live) => [
          undefined,
          put(Option.isSome(current) ? concat(current.value as V, value) : value, expiryOf(live))
        ]))
    },
    keys: (range) => view.translated(view.ranged(range, keyspace.keys), decodeKey),
    values: (range) => view.translated(view.ranged(range, keyspace.entries), decode),
    entries: (range) => view.translated(view.ranged(range, keyspace.entries), decodeEntry),
    toMap: (range) => Stream.runFold(store.entries(range), new Map<K, A>(), (map, [key, value]) => map.set(key, value)),
    size: (range) => Effect.map(Effect.flatMap(withRange(range), keyspace.stat), ({ entries }) => entries),
    isEmpty: Effect.map(Stream.runHead(keyspace.keys({ limit: 1, prefix })), Option.isNone),
    clear: (range) => Effect.flatMap(withRange(range), keyspace.clear),
    transaction: storage.transaction
  }
  return store
}

/** @internal */
export const makeStore = <K, A>(parts: Parts<K, A>): KeyValueStore<K, A> => {
  function prefix(more: string): KeyValueStore<string, A>
  function prefix<Rest, I extends string>(
    more: string,
    options: { readonly key: Schema.Schema<Rest, I> }
  ): KeyValueStore<Rest, A>
  function prefix<Rest, I extends string>(more: string, options?: { readonly key: Schema.Schema<Rest, I> }) {
    return options === undefined ? makeStore(within(parts, more)) : makeStore(withinTyped(parts, more, options.key))
  }
  return { ...makeCommon(parts, makeView(parts)), prefix }
}

/** @internal */
export const make = <A, I, R, K, IK extends string, KR>(
  options: Options<A, I, R, K, IK, KR>
): Effect.Effect<KeyValueStore<K, A>, StorageError, Storage.Storage | R | KR> =>
  Effect.map(openParts(options, never), makeStore)

const plain = (parts: Parts<string, Storage.Value>): Plain => {
  function prefix(more: string): Plain
  function prefix<Rest, I extends string>(
    more: string,
    options: { readonly key: Schema.Schema<Rest, I> }
  ): KeyValueStore<Rest, Storage.Value>
  function prefix<Rest, I extends string>(more: string, options?: { readonly key: Schema.Schema<Rest, I> }) {
    return options === undefined ? plain(within(parts, more)) : makeStore(withinTyped(parts, more, options.key))
  }
  return {
    ...makeStore(parts),
    forSchema: (schema) => makeStore({ ...parts, codec: provided(Codec.json(schema), Context.empty()) }),
    prefix
  }
}

/** @internal */
export const makePlain = (keyspace: string): Effect.Effect<Plain, StorageError, Storage.Storage> =>
  Effect.map(openPlain(keyspace, never), plain)
