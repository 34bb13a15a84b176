import { engines } from "./engines.js"
import { suite } from "./suites/keyValueStore.js"

for (const engine of engines) suite(engine)
