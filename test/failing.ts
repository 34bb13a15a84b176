/** Storages in which what a store asks of its keyspace is seen, or fails. */
import { Effect, Layer, Stream } from "effect"
import { Storage, StorageError } from "effect-kv"

/** A Storage in memory, whose keyspaces are what `f` makes of them. */
export const seenThrough = (f: (keyspace: Storage.Keyspace) => Storage.Keyspace): Layer.Layer<Storage.Storage> =>
  Layer.provide(
    Layer.effect(
      Storage.Storage,
      Effect.map(Storage.Storage, (storage) => {
        function keyspace(
          name: string,
          options?: { readonly keys?: "text" | undefined }
        ): Effect.Effect<Storage.Keyspace, StorageError.StorageError>
        function keyspace(
          name: string,
          options: { readonly keys: "bytes" }
        ): Effect.Effect<Storage.Keyspace<Uint8Array>, StorageError.StorageError>
        function keyspace(name: string, options?: { readonly keys?: "text" | "bytes" | undefined }) {
          return options?.keys === "bytes"
            ? storage.keyspace(name, { keys: "bytes" })
            : Effect.map(storage.keyspace(name), f)
        }
        return { ...storage, keyspace }
      })
    ),
    Layer.fresh(Storage.layerMemory)
  )

/** A Storage that opens, and in which everything then fails. */
export const failingWith = (reason: StorageError.StorageErrorReason): Layer.Layer<Storage.Storage> =>
  seenThrough(({ name }) => {
    const fail = (method: string) => () =>
      Effect.fail(new StorageError.StorageError({ detail: "on purpose", keyspace: name, method, reason }))
    return {
      clear: fail("clear"),
      entries: () => Stream.fromEffect(fail("entries")()),
      get: fail("get"),
      getMany: fail("getMany"),
      head: fail("head"),
      keys: () => Stream.fromEffect(fail("keys")()),
      modify: fail("modify"),
      name,
      peek: fail("peek"),
      remove: fail("remove"),
      removeExpired: fail("removeExpired"),
      removeMany: fail("removeMany"),
      set: fail("set"),
      setMany: fail("setMany"),
      stat: fail("stat"),
      take: fail("take")
    }
  })
