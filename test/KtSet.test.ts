import { kinds } from "./engines.js"
import { suite } from "./suites/ktSet.js"

for (const engine of kinds) suite(engine)
