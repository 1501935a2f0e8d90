import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Refused } from "./api";
import { router } from "./router";
import { applyTheme } from "./theme";
import "./styles.css";

applyTheme();
const client = new QueryClient({
  defaultOptions: {
    queries: { staleTime: 2_000, placeholderData: undefined, retry: (failures, error) => failures < 2 && !(error instanceof Refused && error.status < 500) },
  },
});
const root = document.getElementById("root");
if (root !== null)
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
