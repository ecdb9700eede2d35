// The launch URL an EHR opens with `iss` and `launch` (SMART App Launch, EHR launch).

import { authorize, explain } from "./session.js";

try {
  await authorize();
} catch (error) {
  document.getElementById("status").hidden = true;
  document.getElementById("problem-text").textContent = explain(error);
  document.getElementById("problem").hidden = false;
}
