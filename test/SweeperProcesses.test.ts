import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { child, tempFile } from "./support.js"

/** What a child prints, line by line; fails if it does not go on. */
const says = (line: Effect.Effect<string>, expected: string) =>
  Effect.map(Effect.timeout(line, "25 seconds"), (line) => assert.strictEqual(line, expected))

describe("a process whose only fiber is the sweeper", () => {
  for (const [title, interval] of [["every 10 milliseconds", "10"], ["every minute", ""]] as const) {
    it.scopedLive(`ends by itself, ${title}`, () =>
      Effect.gen(function*() {
        const { line } = yield* child("sweeper.ts", [yield* tempFile, interval])
        yield* says(line, "done")
        yield* says(line, "exit 0")
      }))
  }

  it.scopedLive("has it sweep also where nothing else wakes the event loop", () =>
    Effect.gen(function*() {
      const { line } = yield* child("sweeper.ts", [yield* tempFile, "10", "idles"])
      yield* says(line, "left: 0")
      yield* says(line, "done")
      yield* says(line, "exit 0")
    }))

  it.scopedLive("has it sweep for as long as there is other work, and then ends", () =>
    Effect.gen(function*() {
      const { line } = yield* child("sweeper.ts", [yield* tempFile, "10", "waits"])
      yield* says(line, "swept")
      yield* says(line, "done")
      yield* says(line, "exit 0")
    }))
})
