/**
 * A `TtlStore` under the tag and the contract of the persistence of `@effect/experimental`.
 *
 * @internal
 */
import * as Persistence from "@effect/experimental/Persistence"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Failure } from "../../KeyValueStore.js"
import type * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import type { Expiry, TtlStore } from "../../TtlStore.js"
import { keyOf } from "../store/anyText.js"
import { makePlain } from "../store/ttlStore.js"

const toExpiry = (timeToLive: Option.Option<Duration.Duration>): Expiry | undefined =>
  Option.isSome(timeToLive) ? { timeToLive: timeToLive.value } : undefined

/** What is thrown is a failure as well: keys and times are the user's. */
const on = <A>(
  method: string,
  run: () => Effect.Effect<A, Failure>
): Effect.Effect<A, Persistence.PersistenceBackingError> => {
  const fail = (cause: unknown) => Persistence.PersistenceBackingError.make(method, cause)
  return Effect.flatMap(Effect.try({ catch: fail, try: run }), Effect.mapError(fail))
}

/** All stores are in one keyspace, so that the sweeper sees those, too, that nobody asks for any more. */
const within = (all: TtlStore<string, unknown>, storeId: string): Persistence.BackingPersistenceStore => {
  const stored = (key: string): string => keyOf(storeId) + keyOf(key)
  return {
    clear: on("clear", () => Effect.asVoid(all.clear({ prefix: keyOf(storeId) }))),
    get: (key) => on("get", () => all.get(stored(key))),
    getMany: (keys) => on("getMany", () => all.getMany(keys.map(stored))),
    remove: (key) => on("remove", () => Effect.asVoid(all.remove(stored(key)))),
    set: (key, value, timeToLive) => on("set", () => all.set(stored(key), value, toExpiry(timeToLive))),
    setMany: (entries) =>
      on(
        "setMany",
        () => all.setMany(entries.map(([key, value, timeToLive]) => [stored(key), value, toExpiry(timeToLive)]))
      )
  }
}

/** @internal */
export const makePersistence = (
  { keyspace = "persistence" }: { readonly keyspace?: string | undefined } = {}
): Effect.Effect<Persistence.BackingPersistence, StorageError, Storage.Storage> =>
  Effect.map(makePlain({ keyspace }), (plain) => {
    const all = plain.forSchema(Schema.Unknown)
    return {
      [Persistence.BackingPersistenceTypeId]: Persistence.BackingPersistenceTypeId,
      make: (storeId) => Effect.sync(() => within(all, storeId))
    }
  })
