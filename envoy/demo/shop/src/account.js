// The script of the account page: calls the API, and shows the messages of the WebSocket.
"use strict";

const RETRY_MILLIS = 2000;

const api = document.querySelector("#api");
const ticks = document.querySelector("#ticks");
const text = (parent, name, value) => { parent.querySelector(`[data-show="${name}"]`).textContent = value; };

// Without a session, a fetch gets 401 in JSON; a navigation is redirected to the login.
async function me() {
  return fetch("/api/me", { headers: { accept: "application/json" }, cache: "no-store" });
}

async function askApi() {
  try {
    const answer = await me();
    text(api, "status", `${answer.status} ${answer.statusText}`.trim());
    text(api, "body", JSON.stringify(await answer.json(), null, 2));
    api.dataset.state = answer.ok ? "open" : "closed";
    api.querySelector("a").hidden = answer.status !== 401;
  } catch (problem) {
    text(api, "status", "no answer");
    text(api, "body", String(problem));
    api.dataset.state = "closed";
  }
}

function listen() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/ticks`);
  socket.addEventListener("message", (event) => {
    const { tick, user, name } = JSON.parse(event.data);
    ticks.dataset.state = "open";
    text(ticks, "tick", tick);
    text(ticks, "status", `Connected as ${name} (${user})`);
  });
  socket.addEventListener("close", () => {
    ticks.dataset.state = "closed";
    text(ticks, "status", "Disconnected");
    setTimeout(listenAgain, RETRY_MILLIS);
  });
}

// A script cannot see why a WebSocket was refused; the API shows whether there still is a session.
async function listenAgain() {
  const answer = await me().catch(() => null);
  if (answer?.status === 401) {
    text(ticks, "status", "Disconnected: the session has ended");
  } else if (answer?.ok) {
    listen();
  } else {
    setTimeout(listenAgain, RETRY_MILLIS);
  }
}

for (const time of document.querySelectorAll("time")) {
  time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
}
api.querySelector("button").addEventListener("click", askApi);
askApi();
listen();
