/** What removing many expired entries costs, and above all for how long nothing else can run. */
import { Effect, Layer } from "effect"
import { Sqlite, Storage } from "effect-kv"
import { statSync } from "node:fs"
import * as path from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { say } from "./harness.js"
import { padded, text } from "./values.js"

const count = 100_000
const rounds = 3

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0

/** Watches the event loop and the size of a file until it is asked. Times are in milliseconds. */
const watch = (file: string) => {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  let last = performance.now()
  let gap = 0
  let size = sizeOf(file)
  const tick = () => {
    const now = performance.now()
    gap = Math.max(gap, now - last)
    last = now
    size = Math.max(size, sizeOf(file))
  }
  const timer = setInterval(tick, 1)
  delay.enable()
  return () => {
    tick()
    clearInterval(timer)
    delay.disable()
    return { delay: delay.max / 1e6, gap, size }
  }
}

/** Milliseconds of processor time, which others on the machine do not lengthen. */
const processor = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

const nextTurn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** What the watchers see when nothing holds the loop for longer than 2 ms: how busy the machine is otherwise. */
const floor = Effect.gen(function*() {
  const stop = watch("")
  const end = performance.now() + 1000
  while (performance.now() < end) {
    const turn = performance.now() + 2
    while (performance.now() < turn);
    yield* nextTurn
  }
  return stop().gap
})

export const sweep = (folder: string) => {
  const file = path.join(folder, "kv-sweep.db")
  return Effect.provide(
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const keyspace = yield* storage.keyspace("expired")
      // They expire in another order than that of their keys, as sessions do: each slice is all over the table.
      const fill = Effect.suspend(() => {
        const first = Date.now() - count
        return keyspace.setMany(
          Array.from({ length: count }, (_, i) => ({
            expiresAt: first + i,
            key: padded((i * 7919) % count),
            value: text()
          }))
        )
      }).pipe(Effect.zipRight(Sqlite.checkpoint))
      // A turn of the loop, so that the watchers run before and after.
      const pause = Effect.sleep(20)

      const runs: Array<{ total: number; delay: number; gap: number; size: number }> = []
      for (let round = 0; round < rounds; round++) {
        yield* fill
        globalThis.gc?.()
        const stop = watch(`${file}-wal`)
        yield* pause
        const start = performance.now()
        const removed = yield* storage.maintenance.compact
        const total = performance.now() - start
        yield* pause
        runs.push({ total, ...stop() })
        if (removed !== count) return yield* Effect.dieMessage(`${removed} entries were swept, not ${count}`)
      }

      // The same in slices of our own, each timed.
      yield* fill
      const slices: Array<number> = []
      const cpu: Array<number> = []
      const limit = 64
      for (let removed = limit; removed === limit;) {
        const start = performance.now()
        const used = processor()
        removed = (yield* keyspace.removeExpired({ limit })).removed
        cpu.push(processor() - used)
        slices.push(performance.now() - start)
        yield* nextTurn
      }

      const each = (f: (run: (typeof runs)[number]) => number) => runs.map((run) => f(run).toFixed(1)).join(", ")
      say(`maintenance.compact, ${count.toLocaleString("en")} expired entries, ${rounds} times:`)
      say(`  in all            ${each((run) => run.total)} ms`)
      say(`  entries a second  ${runs.map((run) => Math.round(count / run.total * 1000)).join(", ")}`)
      say(`  longest hold      ${each((run) => run.gap)} ms between ticks of 1 ms`)
      say(`                    ${each((run) => run.delay)} ms by monitorEventLoopDelay`)
      say(`  largest WAL       ${each((run) => run.size / (1 << 20))} MB`)
      say(`  (a loop that is never held for more than 2 ms: ${(yield* floor).toFixed(1)} ms on this machine now)`)
      const spread = (times: Array<number>) => {
        times.sort((a, b) => a - b)
        const at = (part: number) => times[Math.min(times.length - 1, Math.floor(times.length * part))]?.toFixed(2)
        return `${at(0.5)} in the median, ${at(0.99)} at the 99th percentile, ${at(1)} at most`
      }
      say(`removeExpired, ${slices.length} slices of ${limit}, ms a slice:`)
      say(`  time       ${spread(slices)}`)
      say(`  processor  ${spread(cpu)}`)
      say("keyv has no sweep: on SQLite an expired entry stays until it is read. lmdb has no expiry.")
    }),
    Storage.layer({ sweep: false }).pipe(Layer.provideMerge(Sqlite.layer({ filename: file })))
  )
}
