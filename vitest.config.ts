import * as os from "node:os"
import * as path from "node:path"
import { defineConfig } from "vitest/config"

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-kv\/(.*)$/, replacement: path.join(__dirname, "src/$1.ts") },
      { find: /^effect-kv$/, replacement: path.join(__dirname, "src/index.ts") }
    ]
  },
  test: {
    coverage: {
      include: ["src/**/*.ts"],
      provider: "v8",
      reporter: ["text"],
      thresholds: { lines: 95 }
    },
    globalSetup: ["./test/compile.ts", "./test/postgres/globalSetup.ts"],
    include: ["test/**/*.test.ts"],
    // One a core, of which there are two at the least: much of what is tested waits for another process.
    maxWorkers: Math.max(2, os.availableParallelism()),
    outputFile: { json: "coverage/tests.json" },
    reporters: process.env.CI === undefined ? ["default"] : ["default", "json"],
    setupFiles: ["./vitest.setup.ts"],
    testTimeout: 30_000
  }
})
