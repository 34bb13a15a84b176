import type { Error as PlatformError } from "@effect/platform"
import { KeyValueStore as Platform } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { KeyValueStore, StorageError } from "effect-kv"
import { kinds } from "./engines.js"
import { failingWith } from "./failing.js"
import { everyMethod, suite } from "./suites/platform.js"

for (const engine of kinds) suite(engine)

const reasons: ReadonlyArray<
  readonly [StorageError.StorageErrorReason, PlatformError.SystemErrorReason | "BadArgument"]
> = [
  ["Busy", "Busy"],
  ["Closed", "BadResource"],
  ["Corrupt", "InvalidData"],
  ["Full", "WriteZero"],
  ["Incompatible", "InvalidData"],
  ["InvalidValue", "BadArgument"],
  ["NotADatabase", "InvalidData"],
  ["Permission", "PermissionDenied"],
  ["ReadOnly", "PermissionDenied"],
  ["Unavailable", "Unknown"],
  ["Unknown", "Unknown"]
]

describe("KeyValueStore.layerPlatform", () => {
  for (const [reason, expected] of reasons) {
    it.effect(`says ${expected} for a StorageError that is ${reason}, of every method`, () =>
      Effect.gen(function*() {
        const kv = yield* Platform.KeyValueStore
        for (const [method, effect] of everyMethod(kv, "k")) {
          const error = yield* Effect.flip(effect)
          const { cause } = error
          assert.strictEqual(error._tag === "SystemError" ? error.reason : error._tag, expected, method)
          assert.strictEqual(error.module, "KeyValueStore")
          assert.strictEqual(error.method, method)
          assert(cause instanceof StorageError.StorageError)
          assert.strictEqual(cause.reason, reason)
          assert.strictEqual(error.description, cause.message)
        }
      }).pipe(Effect.provide(KeyValueStore.layerPlatform()), Effect.provide(failingWith(reason))))
  }
})
