import { kinds } from "./engines.js"
import { suite } from "./suites/ttlStoreModel.js"

for (const engine of kinds) suite(engine)
