"""Trains the model of fraud: how likely is it that a payment is called back?"""

from boosting import train

if __name__ == "__main__":
    train(
        "fraud",
        label="fraud",
        categories=["channel", "category"],
        numbers=[
            "amount", "distance_km", "hour_of_day", "night", "amount_to_usual", "amount_deviation", "amount_to_merchant", "same_device", "easy_to_sell",
            "member_days", "user_count_5m", "user_count_1h", "user_count_24h", "user_count_30d", "user_sum_24h", "user_merchants_24h",
            "merchant_count_5m", "merchant_count_24h", "device_count_1h", "device_count_30d", "device_users_24h", "pair_count_30d", "pair_mean_30d",
            "late_90d",
        ],
    )
