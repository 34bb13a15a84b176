import { engines } from "./engines.js"
import { keyValueStore, suite } from "./suites/keyValueStore.js"

for (const engine of engines) suite(engine, keyValueStore)
