/**
 * One counter, several processes. The program starts itself four times; each child adds 250 times to the same counter
 * in the same file, and no addition is lost.
 *
 *     npx tsx examples/counter.ts
 */
import { Config, Console, Data, Effect, Schema } from "effect"
import { KeyValueStore, Sqlite, Storage } from "effect-kv"
import { spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const children = 4
const additions = 250

/** A `bigint` counter has 64 bits, and fails beyond instead of losing digits. */
class Counters extends KeyValueStore.Tag<Counters>()("counter/Counters", {
  keyspace: "counters",
  value: Schema.BigInt
}) {}

const withCounters = (filename: string) => <A, E>(self: Effect.Effect<A, E, Counters>) =>
  self.pipe(
    Effect.provide(Counters.layer),
    Effect.provide(Storage.layer()),
    Effect.provide(Sqlite.layer({ filename, lockTimeout: "30 seconds" }))
  )

const child = (filename: string) =>
  Effect.gen(function*() {
    const counters = yield* Counters
    for (let i = 0; i < additions; i++) yield* counters.increment("visits", 1n)
  }).pipe(withCounters(filename))

class ChildFailed extends Data.TaggedError("ChildFailed")<{ readonly status: number | null }> {}

const startChild = (filename: string) =>
  Effect.async<void, ChildFailed>((resume) => {
    const started = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url)], {
      env: { ...process.env, COUNTER_DB: filename },
      stdio: "inherit"
    })
    started.on("close", (status) => resume(status === 0 ? Effect.void : Effect.fail(new ChildFailed({ status }))))
    return Effect.sync(() => started.kill())
  })

const parent = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "effect-kv-counter-"))),
    (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
  )
  const filename = path.join(folder, "counter.db")
  yield* Effect.forEach(Array.from({ length: children }), () => startChild(filename), {
    concurrency: "unbounded",
    discard: true
  })
  const sum = yield* Counters.pipe(
    Effect.flatMap((counters) => counters.getOrFail("visits")),
    withCounters(filename)
  )
  yield* Console.log(`${children} processes, ${additions} additions each: ${sum}`)
}).pipe(Effect.scoped)

const main = Effect.gen(function*() {
  const filename = yield* Config.string("COUNTER_DB").pipe(Config.withDefault(""))
  yield* filename === "" ? parent : child(filename)
})

Effect.runPromise(main)
