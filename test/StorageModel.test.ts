import { engines } from "./engines.js"
import { suite } from "./suites/storageModel.js"

for (const engine of engines) suite(engine)
