/** Our side: the stores that are measured, and the layers they stand on. */
import { Effect, Fiber, Layer, Schema } from "effect"
import { Codec, KeyValueStore, Sqlite, Storage, TtlStore } from "effect-kv"

/** The schema of `Small` in values.ts. */
export const Small = Schema.Struct({ id: Schema.Number, name: Schema.String, tags: Schema.Array(Schema.String) })

export class Texts extends KeyValueStore.Tag<Texts>()("Texts", { keyspace: "texts", value: Codec.text }) {}
export class Bytes extends KeyValueStore.Tag<Bytes>()("Bytes", { keyspace: "bytes", value: Codec.bytes }) {}
export class Structs extends KeyValueStore.Tag<Structs>()("Structs", { keyspace: "structs", value: Small }) {}
export class Many extends KeyValueStore.Tag<Many>()("Many", { keyspace: "many", value: Codec.text }) {}
export class Counters extends KeyValueStore.Tag<Counters>()("Counters", {
  keyspace: "counters",
  value: Schema.Number
}) {}
export class Sessions extends TtlStore.Tag<Sessions>()("Sessions", {
  keyspace: "sessions",
  timeToLive: "1 hour",
  value: Codec.text
}) {}

/** Nothing is swept but by what measures it. */
export const storageLayer = Storage.layer({ sweep: false })

export const on = (options: Sqlite.Options) =>
  Layer.mergeAll(Texts.layer, Bytes.layer, Structs.layer, Many.layer, Sessions.layer).pipe(
    Layer.provideMerge(storageLayer),
    Layer.provide(Sqlite.layer(options))
  )

export const loop = <A, E>(items: ReadonlyArray<string>, f: (key: string) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    for (const item of items) yield* f(item)
  })

/** A fiber each. `Effect.forEach` with unbounded concurrency alone costs more than a write does. */
export const concurrently = <A, E>(items: ReadonlyArray<string>, f: (key: string) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fibers: Array<Fiber.RuntimeFiber<A, E>> = []
    for (const item of items) fibers.push(yield* Effect.fork(f(item)))
    for (const fiber of fibers) yield* Fiber.join(fiber)
  })
