import { Persistence } from "@effect/experimental"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Layer, Option } from "effect"
import { Sqlite, Storage, StorageError, TtlStore } from "effect-kv"
import { kinds } from "./engines.js"
import { failingWith, seenThrough } from "./failing.js"
import { suite } from "./suites/persistence.js"
import { tempFile } from "./support.js"

for (const engine of kinds) suite(engine)

const storeOf = (storeId: string) => Effect.flatMap(Persistence.BackingPersistence, (backing) => backing.make(storeId))

describe("TtlStore.layerPersistence", () => {
  it.scoped("says for every method what the engine said", () =>
    Effect.gen(function*() {
      const store = yield* storeOf("s")
      const methods = {
        clear: store.clear,
        get: store.get("k"),
        getMany: store.getMany(["k"]),
        remove: store.remove("k"),
        set: store.set("k", 1, Option.none()),
        setMany: store.setMany([["k", 1, Option.none()]])
      }
      for (const [method, effect] of Object.entries<Effect.Effect<unknown, Persistence.PersistenceError>>(methods)) {
        const error = yield* Effect.flip(effect)
        assert(error instanceof Persistence.PersistenceBackingError)
        assert.strictEqual(error.method, method)
        assert(error.cause instanceof StorageError.StorageError)
        assert.strictEqual(error.cause.reason, "Full")
      }
    }).pipe(Effect.provide(TtlStore.layerPersistence()), Effect.provide(failingWith("Full"))))

  it.scoped("says what is wrong with a call from JavaScript", () =>
    Effect.gen(function*() {
      // What the types forbid.
      const wrong: never = undefined as never
      const store = yield* storeOf("s")
      const nowhere = yield* storeOf(wrong)
      for (
        const effect of [
          store.get(wrong),
          store.getMany(wrong),
          store.set("k", 1, wrong),
          store.set("k", 1, Option.some("soon" as never)),
          store.setMany(wrong),
          nowhere.get("k"),
          nowhere.clear
        ] as ReadonlyArray<Effect.Effect<unknown, Persistence.PersistenceError>>
      ) assert.instanceOf(yield* Effect.flip(effect), Persistence.PersistenceBackingError)
    }).pipe(Effect.provide(Layer.provide(TtlStore.layerPersistence(), Storage.layerMemory))))

  it.scoped("reads many in one round trip, and writes many in one", () => {
    const calls: Array<string> = []
    const counting = seenThrough((keyspace) => ({
      ...keyspace,
      get: (key) => Effect.zipRight(Effect.sync(() => calls.push("get")), keyspace.get(key)),
      getMany: (keys) => Effect.zipRight(Effect.sync(() => calls.push("getMany")), keyspace.getMany(keys)),
      set: (key, value, at) => Effect.zipRight(Effect.sync(() => calls.push("set")), keyspace.set(key, value, at)),
      setMany: (entries) => Effect.zipRight(Effect.sync(() => calls.push("setMany")), keyspace.setMany(entries))
    }))
    return Effect.gen(function*() {
      const store = yield* storeOf("s")
      yield* store.setMany([["a", 1, Option.none()], ["b", 2, Option.none()]])
      deepStrictEqual(yield* store.getMany(["b", "c", "a"]), [Option.some(2), Option.none(), Option.some(1)])
      deepStrictEqual(calls, ["setMany", "getMany"])
    }).pipe(Effect.provide(TtlStore.layerPersistence()), Effect.provide(counting))
  })

  it.scopedLive("finds again what an earlier program has written", () =>
    Effect.gen(function*() {
      const filename = yield* tempFile
      const program = <A, E>(use: (store: Persistence.BackingPersistenceStore) => Effect.Effect<A, E>) =>
        Effect.flatMap(storeOf("s"), use).pipe(
          Effect.scoped,
          Effect.provide(TtlStore.layerPersistence()),
          Effect.provide(Layer.provide(Storage.layer({ sweep: false }), Sqlite.layer({ filename })))
        )
      yield* program((store) => store.set("k", { a: 1 }, Option.none()))
      deepStrictEqual(yield* program((store) => store.get("k")), Option.some({ a: 1 }))
    }))
})
