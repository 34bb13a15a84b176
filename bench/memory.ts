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
}

const scan = Effect.gen(function*() {
  const many = yield* Many
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  const start = performance.now()
  let highest = before
  const entries = yield* Stream.runFold(Stream.chunks(many.entries()), 0, (entries, chunk) => {
    highest = Math.max(highest, process.memoryUsage.rss())
    return entries + chunk.length
  })
  return { before, entries, highest, milliseconds: performance.now() - start }
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
    const megabytes = (grown.highest - grown.before) / (1 << 20)
    say(
      `scan of ${count.toLocaleString("en")} entries with values of 100 bytes: resident memory grew by at most ` +
        `${megabytes.toFixed(1)} MB from ${(grown.before / (1 << 20)).toFixed(1)} MB, in ` +
        `${(grown.milliseconds / 1000).toFixed(1)} s; aim below ${aim} MB${megabytes < aim ? "" : "  missed"}`
    )
  })

const [, script, filename] = process.argv
if (script === fileURLToPath(import.meta.url) && filename !== undefined) {
  say(JSON.stringify(await Effect.runPromise(Effect.provide(scan, on({ filename })))))
}
