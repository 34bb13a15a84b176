import type { Effect, Stream } from "effect"
import type { StorageError } from "effect-kv"
import { Storage } from "effect-kv"
import { describe, expect, test } from "tstyche"

declare const lines: Stream.Stream<string, "broken", "disk">
declare const bytes: Stream.Stream<Uint8Array>

describe("moving data", () => {
  test("an export is text from the Storage of the context", () => {
    expect(Storage.exportEntries({ keyspaces: ["a"] })).type.toBe<
      Stream.Stream<string, StorageError.StorageError, Storage.Storage>
    >()
  })

  test("an import takes text or bytes, and keeps what they fail with and need", () => {
    expect(Storage.importEntries(lines)).type.toBe<
      Effect.Effect<
        Storage.Imported,
        "broken" | StorageError.ImportError | StorageError.StorageError,
        "disk" | Storage.Storage
      >
    >()
    expect(Storage.importEntries(bytes, { existing: "keep" })).type.toBe<
      Effect.Effect<Storage.Imported, StorageError.ImportError | StorageError.StorageError, Storage.Storage>
    >()
  })
})
