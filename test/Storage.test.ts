import { engines } from "./engines.js"
import { suite } from "./suites/storage.js"

for (const engine of engines) suite(engine)
