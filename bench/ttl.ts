/**
 * A stand-in with the methods of `TtlStore` that are measured, over what `Storage` has now. Whoever imports it takes
 * `TtlStore` from "effect-kv" instead once it is there.
 */
import { Clock, Context, Duration, Effect, Layer, Option } from "effect"
import { type Codec, Storage, type StorageError } from "effect-kv"

export interface TtlStore {
  readonly get: (
    key: string
  ) => Effect.Effect<Option.Option<string>, StorageError.StorageError | StorageError.InvalidKey>
  readonly set: (
    key: string,
    value: string,
    options?: { readonly timeToLive?: Duration.DurationInput }
  ) => Effect.Effect<void, StorageError.StorageError | StorageError.InvalidKey>
}

export const Tag = <Self>() =>
<const Id extends string>(
  id: Id,
  options: {
    readonly keyspace: string
    readonly value: typeof Codec.text
    readonly timeToLive: Duration.DurationInput
  }
) => {
  const tag = Context.Tag(id)<Self, TtlStore>()
  const make = Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const keyspace = yield* storage.keyspace(options.keyspace)
    return tag.of({
      get: (key) => Effect.map(keyspace.get(key), Option.map(({ value }) => String(value))),
      set: (key, value, { timeToLive = options.timeToLive } = {}) =>
        Effect.flatMap(
          Clock.currentTimeMillis,
          (now) => keyspace.set(key, value, now + Duration.toMillis(timeToLive))
        )
    })
  })
  return Object.assign(tag, { layer: Layer.effect(tag, make) })
}
