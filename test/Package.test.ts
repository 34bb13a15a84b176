/** What a user's program loads, and the namespaces it finds. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import * as EffectKv from "effect-kv"
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "..")

describe("the package", () => {
  it("exports every public module by its name", () => {
    const modules = readdirSync(path.join(root, "src")).filter((file) => file.endsWith(".ts") && file !== "index.ts")
    deepStrictEqual(Object.keys(EffectKv).sort(), modules.map((file) => file.slice(0, -3)).sort())
  })

  it("loads no driver for a store in memory", () => {
    const program = `
      import * as KeyValueStore from ${JSON.stringify(path.join(root, "src/KeyValueStore.ts"))}
      import * as Storage from ${JSON.stringify(path.join(root, "src/Storage.ts"))}
      const loaded = process.getBuiltinModule("module")
      console.log(typeof KeyValueStore.layerMemory, typeof Storage.layer, Object.keys(loaded._cache ?? {}).filter((f) => f.includes("better-sqlite3")).length)
    `
    const output = execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      cwd: root,
      encoding: "utf8"
    })
    assert.strictEqual(output.trim(), "object function 0")
  })

  it("loads nothing of @effect/experimental for a KeyValueStore", () => {
    const loaded = new Set<string>()
    const load = (file: string): void => {
      if (loaded.has(file)) return
      loaded.add(file)
      const text = readFileSync(path.join(root, "src", file), "utf8")
      for (const [, from = ""] of text.matchAll(/^(?:import|export) (?!type )[^"]*"([^"]+)"/gm)) {
        if (from.startsWith(".")) load(path.join(path.dirname(file), from.replace(/\.js$/, ".ts")))
        else loaded.add(from)
      }
    }
    load("KeyValueStore.ts")
    assert.include([...loaded], "internal/adapters/platform.ts")
    deepStrictEqual([...loaded].filter((name) => name.startsWith("@effect/experimental")), [])
  })

  it("names no driver outside the modules that open it", () => {
    const files = readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".ts")
    )
    const importing = files.filter((file) =>
      readFileSync(path.join(root, "src", file), "utf8").includes("from \"@effect/sql-sqlite-node")
    )
    deepStrictEqual(importing.sort(), ["Sqlite.ts", "internal/sqlite/client.ts"])
  })
})
