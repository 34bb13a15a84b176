import { kinds } from "./engines.js"
import { suite } from "./suites/ktList.js"

for (const engine of kinds) suite(engine)
