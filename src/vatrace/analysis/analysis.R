# Run it in this folder: Rscript analysis.R
# It needs three packages, once: install.packages(c("lme4", "lmerTest", "clubSandwich"))
# It reads the tables next to it and computes the findings again. Curves are tested by random changes of sign if there are more
# than 12 participants or pairs, so their p values differ slightly from those in results.csv.

read <- function(name) read.csv(name, na.strings = "", fileEncoding = "UTF-8", check.names = FALSE)
as_met <- function(x) factor(x, levels = unique(x)) # levels in the order of the design

# --- conditions: a linear mixed model with participant as random effect, CR2 standard errors, Satterthwaite's degrees of freedom
if (file.exists("participants.csv")) {
  suppressMessages({library(lme4); library(lmerTest); library(clubSandwich)})
  cells <- read("participants.csv")
  cells$participant <- as_met(cells$participant)
  cells$condition <- as_met(cells$condition)
  k <- nlevels(cells$condition)
  for (dimension in c("valence", "arousal")) {
    cells$value <- cells[[dimension]]
    cat("\n== conditions:", dimension, "==\n")
    if (any(tapply(cells$value, cells$condition, function(x) diff(range(x)) < 1e-9))) {
      cat("left out: the same value for all participants in a condition\n")
      next
    }
    repeated <- anyDuplicated(cells$participant) > 0
    formula <- if (k > 1) value ~ 0 + condition else value ~ 1
    fit <- if (repeated) lme4::lmer(update(formula, . ~ . + (1 | participant)), cells) else lm(formula, cells)
    robust <- if (repeated) vcovCR(fit, type = "CR2") else vcovCR(fit, cluster = cells$participant, type = "CR2")
    cat("means\n")
    print(conf_int(fit, vcov = robust, test = "Satterthwaite"))
    if (k > 2) {
      cat("all conditions equal\n")
      print(Wald_test(fit, constraints = constrain_equal(1:k), vcov = robust, test = "HTZ"))
    }
    if (k > 1) {
      cat("differences\n")
      weights <- combn(k, 2, function(pair) replace(rep(0, k), pair, c(-1, 1)))
      p <- numeric(ncol(weights))
      for (i in seq_len(ncol(weights))) {
        found <- linear_contrast(fit, vcov = robust, contrasts = matrix(weights[, i], 1), test = "Satterthwaite", p_values = TRUE)
        pair <- levels(cells$condition)[weights[, i] != 0]
        cat(sprintf("%s - %s: %.4f, se %.4f, df %.2f, 95 %% [%.4f, %.4f], p %.4g\n", pair[2], pair[1], found$Est, found$SE,
                    found$df, found$CI_L, found$CI_U, p[i] <- found$p_val))
      }
      cat("p adjusted (Holm):", signif(p.adjust(p, "holm"), 4), "\n")
    }
    if (k > 1 && repeated) {
      cat("for comparison, without robust standard errors (lmerTest):\n")
      print(anova(lmerTest::lmer(value ~ condition + (1 | participant), cells)))
    }
  }
}

# --- curves: the largest |t| of the mean curve, compared with that after changes of sign of whole curves
max_t <- function(curves, tested) {
  n <- colSums(!is.na(curves))
  statistic <- function(x, n) {
    m <- colSums(x, na.rm = TRUE) / n
    abs(m / sqrt(pmax(colSums(x^2, na.rm = TRUE) - n * m^2, 0) / (n - 1) / n))
  }
  t <- statistic(curves, n)
  t[!tested | n < 2 | 2 * n < nrow(curves)] <- NA
  use <- which(is.finite(t))
  peak <- use[which.max(t[use])]
  signs <- if (nrow(curves) <= 12) as.matrix(expand.grid(rep(list(c(1, -1)), nrow(curves)))) else {
    set.seed(1)
    rbind(1, matrix(sample(c(-1, 1), 4095 * nrow(curves), TRUE), 4095))
  }
  largest <- apply(signs, 1, function(s) max(statistic(curves[, use, drop = FALSE] * s, n[use])))
  list(peak = peak, mean = mean(curves[, peak], na.rm = TRUE), t = t[peak],
       p = if (nrow(curves) < 6) NA else mean(largest >= t[peak] * (1 - 1e-9)))
}
as_matrix <- function(rows, value, who) {
  ats <- unique(rows$at)
  t(sapply(unique(rows[[who]]), function(one) rows[[value]][rows[[who]] == one][match(ats, rows$at[rows[[who]] == one])]))
}
report <- function(name, rows, value, who, tested) {
  ats <- unique(rows$at)
  if (length(unique(rows[[who]])) < 2) return(invisible())
  found <- max_t(as_matrix(rows, value, who), tested(ats))
  cat(sprintf("%s: %.4f at %.2f s, largest |t| %.3f, p %.4f\n", name, found$mean, ats[found$peak], found$t, found$p))
}
if (file.exists("event_curves.csv")) {
  cat("\n== events ==\n")
  curves <- read("event_curves.csv")
  for (event in unique(curves$event)) for (dimension in c("valence", "arousal"))
    report(paste(event, dimension), curves[curves$event == event, ], dimension, "participant", function(at) at >= 0)
}
if (file.exists("synchrony_curves.csv")) {
  cat("\n== synchrony ==\n")
  curves <- read("synchrony_curves.csv")
  for (dimension in unique(curves$dimension))
    report(dimension, curves[curves$dimension == dimension, ], "synchrony", "cluster", function(at) rep(TRUE, length(at)))
}

# --- agreement with ratings
if (file.exists("rated.csv")) {
  cat("\n== agreement ==\n")
  rated <- read("rated.csv")
  ccc <- function(x, y) {
    m <- function(z) mean((z - mean(z))^2)
    2 * mean((x - mean(x)) * (y - mean(y))) / (m(x) + m(y) + (mean(x) - mean(y))^2)
  }
  for (dimension in c("valence", "arousal")) {
    rows <- na.omit(data.frame(who = rated$participant, x = rated[[paste0(dimension, "_rated")]], y = rated[[dimension]]))
    if (!nrow(rows)) next
    parts <- split(rows, rows$who)
    set.seed(1)
    again <- if (length(parts) > 1) replicate(2000, {
      drawn <- do.call(rbind, parts[sample(length(parts), replace = TRUE)])
      ccc(drawn$x, drawn$y)
    }) else NA
    cat(sprintf("%s: CCC %.4f [%.4f, %.4f], r %.4f, RMSE %.4f\n", dimension, ccc(rows$x, rows$y), quantile(again, 0.025, na.rm = TRUE),
                quantile(again, 0.975, na.rm = TRUE), cor(rows$x, rows$y), sqrt(mean((rows$x - rows$y)^2))))
  }
}
