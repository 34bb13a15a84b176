/**
 * Keys in order: typed keys, ranges, pages, and a view of the keys with a prefix.
 *
 *     npx tsx examples/prefix.ts
 */
import { Chunk, Console, Effect, Schema, Stream } from "effect"
import { KeyValueStore } from "effect-kv"

class Readings extends KeyValueStore.Tag<Readings>()("weather/Readings", {
  keyspace: "readings",
  value: Schema.Number
}) {}

const program = Effect.gen(function*() {
  const readings = yield* Readings
  for (const place of ["oslo", "rome"]) {
    yield* readings.setMany(
      Array.from(
        { length: 10 },
        (_, day) => [`${place}/2026-05-${String(day + 1).padStart(2, "0")}`, day * 1.5] as const
      )
    )
  }

  // Inside the view keys lack the prefix, and nothing of the other place is seen or cleared.
  const rome = readings.prefix("rome/")
  const days = { from: "2026-05-04", through: "2026-05-06" }
  yield* Console.log("rome, three days:", Object.fromEntries(yield* rome.toMap(days)))

  const latest = yield* Stream.runCollect(rome.entries({ limit: 2, reverse: true }))
  yield* Console.log("rome, the last two:", Chunk.toReadonlyArray(latest))

  // Pages: each begins after the last key of the one before, so what comes or goes meanwhile shifts nothing.
  let after: string | undefined
  for (;;) {
    const page = Chunk.toReadonlyArray(yield* Stream.runCollect(rome.keys({ after, limit: 4 })))
    if (page.length === 0) break
    yield* Console.log("page:", page.join(" "))
    after = page.at(-1)
  }

  const removed = yield* rome.clear({ to: "2026-05-08" })
  yield* Console.log(`removed ${removed} of rome; left: ${yield* rome.size()} and ${yield* readings.size()} in all`)
})

Effect.runPromise(Effect.provide(program, Readings.layerMemory))
