import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { child, tempFile } from "./support.js"

const processes = 2
const requests = 250
/** More than one process asks for, so that each gets some. */
const limit = 300

describe("processes that share a limit", () => {
  for (const algorithm of ["fixed-window", "token-bucket"]) {
    it.scopedLive(`are never granted more, nor less, by ${algorithm}`, () =>
      Effect.gen(function*() {
        const filename = yield* tempFile
        const children = yield* Effect.replicateEffect(
          child("limit.ts", [filename, algorithm, String(limit), String(requests)]),
          processes,
          { concurrency: "unbounded" }
        )
        for (const { line } of children) assert.strictEqual(yield* line, "ready")
        for (const { send } of children) yield* send("go")
        const told = yield* Effect.forEach(children, ({ line }) => line)
        const granted = told.map((line) => Number(/^granted (\d+)$/.exec(line)?.[1]))
        assert.strictEqual(granted.reduce((sum, one) => sum + one, 0), limit, told.join("; "))
      }), 60_000)
  }
})
