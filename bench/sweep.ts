/** What removing many expired entries costs, and above all for how long nothing else can run. */
import { Effect } from "effect"
import { Storage } from "effect-kv"
import { statSync } from "node:fs"
import * as path from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { say } from "./harness.js"
import { on } from "./stores.js"
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

export const sweep = (folder: string) => {
  const file = path.join(folder, "kv-sweep.db")
  return Effect.provide(
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const keyspace = yield* storage.keyspace("expired")
      const fill = Effect.suspend(() => {
        const expiresAt = Date.now() - 1
        return keyspace.setMany(
          Array.from({ length: count }, (_, i) => ({ expiresAt, key: padded((i * 7919) % count), value: text() }))
        )
      })
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
      const limit = 200
      for (let removed = limit; removed === limit;) {
        const start = performance.now()
        removed = yield* keyspace.removeExpired({ limit })
        slices.push(performance.now() - start)
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      slices.sort((a, b) => a - b)

      const each = (f: (run: (typeof runs)[number]) => number) => runs.map((run) => f(run).toFixed(1)).join(", ")
      say(`maintenance.compact, ${count.toLocaleString("en")} expired entries, ${rounds} times:`)
      say(`  in all            ${each((run) => run.total)} ms`)
      say(`  entries a second  ${runs.map((run) => Math.round(count / run.total * 1000)).join(", ")}`)
      say(`  longest hold      ${each((run) => run.gap)} ms between ticks of 1 ms`)
      say(`                    ${each((run) => run.delay)} ms by monitorEventLoopDelay`)
      say(`  largest WAL       ${each((run) => run.size / (1 << 20))} MB`)
      const sum = slices.reduce((sum, time) => sum + time, 0)
      const at = (part: number) => slices[Math.min(slices.length - 1, Math.floor(slices.length * part))]?.toFixed(2)
      say(
        `removeExpired, ${slices.length} slices of ${limit}: ${sum.toFixed(1)} ms in all, ` +
          `a slice ${at(0.5)} ms in the median, ${at(0.99)} ms at the 99th percentile, ${at(1)} ms at most`
      )
      say("keyv has no sweep: on SQLite an expired entry stays until it is read. lmdb has no expiry.")
    }),
    on({ filename: file })
  )
}
