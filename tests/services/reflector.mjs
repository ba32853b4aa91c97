// An Express service that answers which view it chose and which host it believes that it was asked for.
import express from "express";

const app = express();
app.set("trust proxy", true);
app.get("/admin/secret", (request, response) => response.json({ view: "secret", host: request.hostname }));
app.get("/static/*name", (request, response) => response.json({ view: "public", host: request.hostname }));
app.listen(process.env.PORT, "127.0.0.1");
