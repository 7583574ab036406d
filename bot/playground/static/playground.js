"use strict";
const key = location.hash.slice(1);
let contextId = null;
const nativeFetch = window.fetch.bind(window);
window.fetch = async (input, init = {}) => {
  if (input === "/api/pages" && init.method === "POST") {
    const status = await (await nativeFetch("/playground/status")).json();
    const person = sessionStorage.getItem("person") || status.people[0].id;
    const place = sessionStorage.getItem("place") || "pictures";
    init = { ...init, headers: { ...init.headers, "Content-Type": "application/json" },
      body: JSON.stringify({ person, place, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone }) };
    const response = await nativeFetch(input, init);
    contextId = (await response.clone().json()).context.id;
    return response;
  }
  return nativeFetch(input, init);
};
