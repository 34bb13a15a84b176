/**
 * How much resident memory hits of a long body take. They run in a process of their own, which has done nothing else;
 * run by itself with a file and the URL of an origin's response, this module is that process.
 */
import { HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { Effect, Layer, Stream } from "effect"
import { HttpCache, Sqlite, Storage } from "effect-kv"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { say } from "./harness.js"
import { large, type Origin } from "./httpOrigin.js"

const hits = 300
const warmups = 30
const aim = 50

interface Grown {
  readonly bytes: number
  readonly before: number
  readonly highest: number
  /** In the last third of the hits. */
  readonly highestLate: number
  /** How much more is in use in the middle of a hit, on the heap and beside it, when the garbage is collected. */
  readonly live: number
}

/** What is in use when the garbage is collected: twice, as what is beside the heap goes only then. */
const inUse = (): number => {
  globalThis.gc?.()
  globalThis.gc?.()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

const streaming = (url: string) =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const read = (visit: (bytes: number) => void) =>
      Effect.flatMap(client.get(url), ({ stream }) =>
        Stream.runFold(Stream.chunks(stream), 0, (bytes, pieces) => {
          let sum = bytes
          for (const piece of pieces) sum += piece.byteLength
          visit(sum)
          return sum
        }))
    for (let i = 0; i < warmups; i++) yield* read(() => undefined)
    yield* Effect.yieldNow()
    const used = inUse()
    const before = process.memoryUsage.rss()
    let bytes = 0
    let highest = before
    let highestLate = before
    for (let i = 0; i < hits; i++) {
      bytes += yield* read(() => {
        const now = process.memoryUsage.rss()
        highest = Math.max(highest, now)
        if (i >= hits * 2 / 3) highestLate = Math.max(highestLate, now)
      })
    }
    let live = 0
    yield* read((sum) => {
      if (sum > large / 2 && live === 0) live = inUse() - used
    })
    const grown: Grown = { before, bytes, highest, highestLate, live }
    return grown
  })

const run = promisify(execFile)

export const printMemory = (folder: string, origin: Origin) =>
  Effect.gen(function*() {
    const script = fileURLToPath(import.meta.url)
    const filename = path.join(folder, "http-memory.db")
    const url = origin.urlOf("large", 0)
    yield* origin.asked
    const { stdout } = yield* Effect.promise(() => run(process.execPath, ["--expose-gc", script, filename, url]))
    const grown: Grown = JSON.parse(stdout)
    const asked = yield* origin.asked
    if (grown.bytes !== hits * large || asked !== 1) {
      return yield* Effect.dieMessage(`${grown.bytes} bytes were read, and ${asked} times from the origin`)
    }
    const megabytes = (bytes: number) => (bytes / (1 << 20)).toFixed(1)
    const met = grown.highest - grown.before < aim * (1 << 20)
    say(`${hits} hits of 10 MB from SQLite, one after the other, in a process of its own:`)
    say(
      `  resident memory grew by at most ${megabytes(grown.highest - grown.before)} MB, from ` +
        `${megabytes(grown.before)} MB; aim below ${aim} MB${met ? "" : "  missed"}`
    )
    say(`  in the last third of them: by at most ${megabytes(grown.highestLate - grown.before)} MB`)
    say(`  of it in use in the middle of a hit, garbage collected: ${megabytes(grown.live)} MB`)
  })

const [, script, filename, url] = process.argv
if (script === fileURLToPath(import.meta.url) && filename !== undefined && url !== undefined) {
  const live = HttpCache.layer({ sweepInterval: false }).pipe(
    Layer.provide(Storage.layer({ sweep: false })),
    Layer.provide(Sqlite.layer({ filename })),
    Layer.provide(NodeHttpClient.layerUndici)
  )
  say(JSON.stringify(await Effect.runPromise(Effect.provide(streaming(url), live))))
}
