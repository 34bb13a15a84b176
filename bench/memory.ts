/**
 * How much resident memory a scan takes. It runs in a process of its own, which has done nothing else; run by itself
 * with a file, this module is that process.
 */
import { Effect, Stream } from "effect"
import { execFileSync } from "node:child_process"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { say } from "./harness.js"
import { Many, on } from "./stores.js"
import { padded } from "./values.js"

const count = 1_000_000
const aim = 50

interface Grown {
  readonly entries: number
  readonly before: number
  readonly highest: number
  readonly milliseconds: number
  /** How much more of the heap is in use in the middle of a scan, when the garbage is collected. */
  readonly live: number
}

const scan = Effect.gen(function*() {
  const many = yield* Many
  const read = (visit: (entries: number) => void) =>
    Stream.runFold(Stream.chunks(many.entries()), 0, (entries, chunk) => {
      visit(entries + chunk.length)
      return entries + chunk.length
    })
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  const used = process.memoryUsage().heapUsed
  const start = performance.now()
  let highest = before
  const entries = yield* read(() => {
    highest = Math.max(highest, process.memoryUsage.rss())
  })
  const milliseconds = performance.now() - start
  let live = 0
  let next = 0
  yield* read((entries) => {
    if (entries < next) return
    next += count / 10
    globalThis.gc?.()
    live = Math.max(live, process.memoryUsage().heapUsed - used)
  })
  return { before, entries, highest, live, milliseconds }
})

const fill = Effect.gen(function*() {
  const many = yield* Many
  const batch = 10_000
  for (let at = 0; at < count; at += batch) {
    yield* many.setMany(
      Array.from({ length: batch }, (_, i) => [padded(at + i), `${at + i}:`.padEnd(100, "x")] as const)
    )
  }
})

export const memory = (folder: string) =>
  Effect.gen(function*() {
    const filename = path.join(folder, "kv-memory.db")
    yield* Effect.provide(fill, on({ filename }))
    const grown: Grown = JSON.parse(
      execFileSync(process.execPath, ["--expose-gc", fileURLToPath(import.meta.url), filename], { encoding: "utf8" })
    )
    if (grown.entries !== count) return yield* Effect.dieMessage(`${grown.entries} entries were read, not ${count}`)
    const megabytes = (bytes: number) => (bytes / (1 << 20)).toFixed(1)
    const met = grown.highest - grown.before < aim * (1 << 20)
    say(
      `scan of ${count.toLocaleString("en")} entries with values of 100 bytes, ` +
        `${(grown.milliseconds / 1000).toFixed(1)} s, in a process of its own:`
    )
    say(
      `  resident memory grew by at most ${megabytes(grown.highest - grown.before)} MB, from ` +
        `${megabytes(grown.before)} MB; aim below ${aim} MB${met ? "" : "  missed"}`
    )
    say(`  of it in use on the heap, garbage collected: ${megabytes(grown.live)} MB`)
  })

const [, script, filename] = process.argv
if (script === fileURLToPath(import.meta.url) && filename !== undefined) {
  say(JSON.stringify(await Effect.runPromise(Effect.provide(scan, on({ filename })))))
}
