"""Trains the model of the user profile: how likely is it that somebody will not pay in the next two weeks?"""

from boosting import train

if __name__ == "__main__":
    train(
        "profile",
        label="lapsed",
        numbers=[
            "user_count_7d", "user_count_30d", "week_to_month", "user_sum_30d", "user_mean_30d", "user_merchants_30d",
            "age", "member_days", "income", "repaid_90d", "late_90d",
        ],
        rounds=60,
        leaves=6,
        smallest=30,
    )
